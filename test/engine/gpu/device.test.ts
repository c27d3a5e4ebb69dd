import { beforeAll, describe, expect, test } from "vitest";
import { BufferUsage } from "../../../engine/gpu/constants.ts";
import { createDawn } from "../../../engine/gpu/dawn.ts";
import {
  add,
  compile,
  type Device,
  exp,
  matmul,
  openDevice,
  parameter,
  sum,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** WebGPU itself, of the browser or of Dawn. */
async function api(): Promise<GPU> {
  const browser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  return browser ?? (await createDawn(true)).gpu;
}

/** Half a second of work on a software adapter. */
async function longWork(on: Device): Promise<() => Promise<Tensor>> {
  const run = compile(
    (x: Tensor) => {
      let y = x;
      for (let i = 0; i < 6; i++) y = matmul(y, x);
      return sum(y);
    },
    { device: on, label: "long work" },
  );
  const x = tensor(randoms(1).floats(512 * 512, -0.01, 0.01), [512, 512]);
  await run(x);
  return () => run(x);
}

describe("an open device", () => {
  test("has every limit that its adapter offers", async () => {
    const adapter = await (await api()).requestAdapter();
    expect(adapter).not.toBeNull();
    const limits = adapter?.limits as unknown as Record<string, number>;
    const own = gpu.limits as unknown as Record<string, number>;
    const names = Object.keys(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(limits)));
    const numeric = names.filter((name) => typeof limits[name] === "number");
    expect(numeric.length).toBeGreaterThan(20);
    expect(Object.fromEntries(numeric.map((n) => [n, own[n]]))).toEqual(
      Object.fromEntries(numeric.map((n) => [n, limits[n]])),
    );
    for (const feature of ["subgroups", "shader-f16", "timestamp-query"] as GPUFeatureName[]) {
      expect(gpu.gpu.features.has(feature), feature).toBe(adapter?.features.has(feature));
    }
  });

  test("keeps validation and robustness on for tests", () => {
    for (const toggle of ["skip_validation", "disable_robustness", "disable_workgroup_init"]) {
      expect(gpu.toggles).not.toContain(toggle);
    }
  });

  test("names itself", () => {
    expect(gpu.name.length).toBeGreaterThan(3);
    expect(gpu.name).not.toBe("unknown adapter");
  });

  test("may wrap a GPUDevice that the caller has opened", async () => {
    const opened = await openDevice({ debug: true });
    using wrapped = await openDevice({ device: opened.gpu });
    using run = compile((x: Tensor) => add(x, 1), { device: wrapped });
    expect(await (await run(tensor([1]))).item()).toBe(2);
  });
});

describe("a device without f16", () => {
  test("refuses to compute in f16, and says what to do", async () => {
    const adapter = await (await api()).requestAdapter();
    const plain = await adapter?.requestDevice();
    if (!plain) return expect.fail("no device");
    using without = await openDevice({ device: plain });
    expect(without.hasF16).toBe(false);
    using run = compile((x: Tensor) => x.cast("f16").mul(2).cast("f32"), { device: without });
    const error = await errorOf(run(tensor([1])));
    expect(error).toMatchObject({ code: "dtype_unsupported" });
    expect(error.message).toMatch(/f16.*\n.*\n.*shader-f16\n.*cast\('f32'\)/);
  });
});

describe("buffers", () => {
  const usage = BufferUsage.STORAGE;

  test("are counted while they live", async () => {
    const before = gpu.liveBytes;
    const made = await gpu.createBuffers([
      { label: "a", sizeBytes: 1000, usage },
      { label: "b", sizeBytes: 30, usage },
    ]);
    expect(gpu.liveBytes).toBe(before + 1000 + 32);
    expect(gpu.peakBytes).toBeGreaterThanOrEqual(gpu.liveBytes);
    for (const buffer of made) gpu.destroyBuffer(buffer);
    expect(gpu.liveBytes).toBe(before);
  });

  test("over the adapter's limit are refused before any is made", async () => {
    const before = gpu.liveBytes;
    const requests = [
      { label: "small", sizeBytes: 1000, usage },
      { label: "huge", sizeBytes: gpu.maxBufferBytes + 4, usage },
    ];
    const error = await errorOf(gpu.createBuffers(requests));
    expect(error).toMatchObject({ code: "device_limit" });
    expect(error.message).toMatch(/"huge"/);
    expect(codeOf(() => gpu.createBuffer(requests[1] as (typeof requests)[0]))).toBe(
      "device_limit",
    );
    expect(gpu.liveBytes).toBe(before);
  });
});

describe("a plan too large", () => {
  test("for one buffer of the adapter fails before anything is allocated", async () => {
    const before = gpu.liveBytes;
    const elements = gpu.maxBufferBytes / 4 + 1024;
    const row = tensor(new Float32Array(1024), [1, 1024]);
    const huge = exp(row.broadcastTo([Math.ceil(elements / 1024), 1024]));
    const error = await errorOf(huge.read());
    expect(error).toMatchObject({ code: "plan_too_large" });
    expect(error.message).toMatch(/alone needs \d+ bytes/);
    expect(await rejectionOf(parameter([elements], 0, "huge").add(1).sum().read())).toBe(
      "plan_too_large",
    );
    expect(gpu.liveBytes).toBe(before);
  });

  test("for the budget says what it needs and what there is", async () => {
    const x = tensor(randoms(1).floats(64 * 64), [64, 64]);
    const before = gpu.liveBytes;
    gpu.memoryBudgetBytes = before + 2 * 64 * 64 * 4;
    try {
      using run = compile((t: Tensor) => matmul(exp(matmul(t, t)), t), { label: "step" });
      const error = await errorOf(run(x));
      expect(error).toMatchObject({ code: "plan_too_large" });
      expect(error.message).toMatch(
        /plan "step".*\n.*it needs \d+ bytes more.*\n.*the budget is \d+ bytes/,
      );
      expect(gpu.liveBytes).toBe(before);
      gpu.memoryBudgetBytes = undefined;
      expect((await run(x)).shape).toEqual([64, 64]);
    } finally {
      gpu.memoryBudgetBytes = undefined;
    }
  });
});

describe("a kernel that does not compile", () => {
  const text = ["@compute @workgroup_size(1)", "fn broken() {", "  let x: u32 = 1.5;", "}"].join(
    "\n",
  );

  test("is an error with the message and the line, and spoils nothing after it", async () => {
    const error = await errorOf(gpu.pipelines.get("broken.wgsl:broken", text, "broken"));
    expect(error).toMatchObject({ code: "shader_invalid" });
    expect(error.message).toMatch(
      /kernel "broken.wgsl:broken".*\n.*line 3: .*\n.*let x: u32 = 1\.5;/,
    );
    await gpu.idle();
    expect(await add(tensor([1]), 1).item()).toBe(2);
  });

  test("is one too when only the entry point is missing", async () => {
    const fine = text.replace("1.5", "1");
    expect(await rejectionOf(gpu.pipelines.get("x", fine, "elsewhere"))).toBe("shader_invalid");
    await gpu.idle();
  });
});

describe("an error of the driver that nobody caught", () => {
  test("surfaces at the next wait, once, and names the object", async () => {
    const usage = BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
    const small = gpu.createBuffer({ label: "small", sizeBytes: 16, usage });
    const badCopy = async (): Promise<void> => {
      const encoder = gpu.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(small, 0, small, 8, 64);
      gpu.submit("bad copy", encoder.finish());
      await gpu.idle();
    };
    const error = await errorOf(badCopy());
    expect(error).toMatchObject({ code: "validation" });
    expect(error.message).toMatch(/"small"/);
    await gpu.idle();
    gpu.destroyBuffer(small);
    expect(await add(tensor([1]), 1).item()).toBe(2);
  });
});

describe("a device that is lost", () => {
  test("rejects what waits, names what ran, and leaves other devices alone", async () => {
    const lost = await openDevice({ debug: true });
    const start = await longWork(lost);
    const result = await start();
    const reading = errorOf(result.read());
    lost.gpu.destroy();
    const error = await reading;
    expect(error).toMatchObject({ code: "device_lost" });
    expect(error.message).toMatch(/lost while running long work/);
    expect(await rejectionOf(lost.idle())).toBe("device_lost");
    expect(await rejectionOf(start())).toBe("device_lost");
    expect(codeOf(() => lost.createBuffer({ label: "x", sizeBytes: 4, usage: 128 }))).toBe(
      "device_lost",
    );
    expect(await add(tensor([1]), 1).item()).toBe(2);
    using fresh = await openDevice({ debug: true });
    using run = compile((x: Tensor) => add(x, 1), { device: fresh });
    expect(await (await run(tensor([41]))).item()).toBe(42);
  });
});

describe("a disposed device", () => {
  test("may not be used any more", async () => {
    const disposed = await openDevice({ debug: true });
    const run = compile((x: Tensor) => add(x, 1), { device: disposed });
    const y = await run(tensor([1]));
    disposed[Symbol.dispose]();
    disposed[Symbol.dispose]();
    expect(await rejectionOf(y.read())).toBe("use_after_dispose");
    expect(await rejectionOf(run(tensor([1])))).toBe("use_after_dispose");
    expect(await rejectionOf(run(tensor([1, 2])))).toBe("use_after_dispose");
    expect(await rejectionOf(disposed.idle())).toBe("use_after_dispose");
    run[Symbol.dispose]();
  });
});
