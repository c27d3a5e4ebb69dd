import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  type Device,
  exp,
  full,
  matmul,
  mul,
  type Operand,
  parameter,
  reshape,
  sum,
  type Tensor,
  type Tree,
  tensor,
  transpose,
} from "../../../engine/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.read());

describe("a compiled function", () => {
  test("gives the bits of one-shot evaluation, at every replay", async () => {
    const model = (x: Tensor, w: Tensor): Tensor =>
      sum(exp(mul(matmul(x, w), 0.1)).add(x.mean()), 1);
    using run = compile(model);
    for (let seed = 1; seed <= 3; seed++) {
      const random = randoms(seed);
      const x = tensor(random.floats(40), [5, 8]);
      const w = tensor(random.floats(96), [8, 12]);
      expect(await (await run(x, w)).read()).toEqual(await model(x, w).read());
    }
  });

  test("is traced once for each signature of shapes and dtypes", async () => {
    let traces = 0;
    using run = compile((x: Tensor) => {
      traces++;
      return add(x, x);
    });
    expect(await values(await run(tensor([1, 2])))).toEqual([2, 4]);
    expect(await values(await run(tensor([3, 4])))).toEqual([6, 8]);
    expect(traces).toBe(1);
    expect(await values(await run(tensor([1, 2, 3])))).toEqual([2, 4, 6]);
    expect(await values(await run(tensor(Int32Array.of(1, 2))))).toEqual([2, 4]);
    expect(await values(await run(tensor([[1, 2]])))).toEqual([2, 4]);
    expect(traces).toBe(4);
    expect(await values(await run(tensor([5, 6])))).toEqual([10, 12]);
    expect(traces).toBe(4);
  });

  test("keeps no more plans than it is told to, and forgets the one unused for longest", async () => {
    let traces = 0;
    using run = compile(
      (x: Tensor) => {
        traces++;
        return add(x, x);
      },
      { maxPlans: 2 },
    );
    const of = (length: number): Promise<Tensor> => run(tensor(new Float32Array(length).fill(1)));
    const first = await of(1);
    await of(2);
    await of(1);
    const third = await of(3); // in place of 2
    expect(traces).toBe(3);
    expect(await values(await of(1))).toEqual([2]);
    expect(traces).toBe(3);
    expect(await values(await of(2))).toEqual([2, 2]); // in place of 3
    expect(traces).toBe(4);
    for (const stale of [first, third])
      expect(await rejectionOf(stale.read())).toBe("use_after_dispose");
  });

  test("is traced once by calls side by side, of which only the last result is good", async () => {
    let traces = 0;
    using run = compile((x: Tensor) => {
      traces++;
      return mul(x, 3);
    });
    const results = await Promise.all([1, 2, 3, 4, 5].map((n) => run(tensor([n]))));
    expect(traces).toBe(1);
    expect(await values(results[4] as Tensor)).toEqual([15]);
    for (const early of results.slice(0, 4)) {
      expect(await rejectionOf(early.read())).toBe("use_after_dispose");
    }
  });

  test("takes and returns nested objects and arrays", async () => {
    using run = compile((batch: { x: Tensor; parts: Tensor[] }, scale: Operand) => ({
      sums: batch.parts.map((p) => add(p, batch.x)),
      deep: { scaled: [mul(batch.x, scale)] },
      none: undefined,
    }));
    const out = await run({ x: tensor([1]), parts: [tensor([2]), tensor([3])] }, 10);
    expect(await values(out.sums[0] as Tensor)).toEqual([3]);
    expect(await values(out.sums[1] as Tensor)).toEqual([4]);
    expect(await values(out.deep.scaled[0] as Tensor)).toEqual([10]);
    expect(out.none).toBeUndefined();
  });

  test("takes numbers as data: another number compiles nothing", async () => {
    let traces = 0;
    using run = compile((x: Tensor, lr: Operand) => {
      traces++;
      return mul(x, lr);
    });
    expect(await values(await run(tensor([2, 3]), 0.5))).toEqual([1, 1.5]);
    const before = gpu.pipelines.size;
    expect(await values(await run(tensor([2, 3]), 4))).toEqual([8, 12]);
    expect([traces, gpu.pipelines.size]).toEqual([1, before]);
  });

  test("returns views, inputs, constants, states, numbers and one value twice as they are", async () => {
    const state = parameter([2], Float32Array.of(7, 8), "s");
    using run = compile((x: Tensor) => {
      const y = mul(x, 2);
      return {
        view: transpose(x),
        copied: reshape(transpose(y), [3, 2]),
        input: x,
        constant: tensor([5, 6]),
        filled: full([2], 9),
        state,
        stateView: reshape(state, [2, 1]),
        number: 4,
        y,
        again: y,
      };
    });
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    for (let call = 0; call < 2; call++) {
      const out = await run(x);
      expect(out.view.shape).toEqual([3, 2]);
      expect(await values(out.view)).toEqual([1, 4, 2, 5, 3, 6]);
      expect(await values(out.copied)).toEqual([2, 8, 4, 10, 6, 12]);
      expect(await values(out.input)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(await values(out.constant)).toEqual([5, 6]);
      expect(await values(out.filled)).toEqual([9, 9]);
      expect(await values(out.state)).toEqual([7, 8]);
      expect(await values(out.stateView)).toEqual([7, 8]);
      expect(await values(out.number as unknown as Tensor)).toEqual([4]);
      expect(await values(out.y)).toEqual([2, 4, 6, 8, 10, 12]);
      expect(await values(out.again)).toEqual([2, 4, 6, 8, 10, 12]);
    }
  });

  test("computes equal expressions once", async () => {
    const [x, w] = [tensor(randoms(1).floats(32), [4, 8]), tensor(randoms(2).floats(64), [8, 8])];
    using once = compile((a: Tensor, b: Tensor) => sum(exp(matmul(a, b))));
    using twice = compile((a: Tensor, b: Tensor) => {
      const left = sum(exp(matmul(a, b)));
      const right = sum(exp(matmul(a, b)));
      return add(left, mul(right, 0));
    });
    const count = async (f: typeof once): Promise<number> =>
      (await f.describe(x, w)).kernels.filter((k) => k.label.startsWith("matmul")).length;
    expect([await count(once), await count(twice)]).toEqual([1, 1]);
    expect(await (await twice(x, w)).read()).toEqual(await (await once(x, w)).read());
  });

  test("does nothing for values that nobody asked for", async () => {
    using run = compile((x: Tensor) => {
      exp(matmul(x, x));
      return add(x, 1);
    });
    const { kernels } = await run.describe(tensor([[1]]));
    expect(kernels).toHaveLength(1);
  });

  test("may be traced again after a failure", async () => {
    let isBroken = true;
    using run = compile((x: Tensor) => {
      if (isBroken) throw new TypeError("not yet");
      return add(x, 1);
    });
    await expect(run(tensor([1]))).rejects.toThrow("not yet");
    isBroken = false;
    expect(await values(await run(tensor([1])))).toEqual([2]);
  });

  test("gives its memory back when disposed", async () => {
    const x = tensor(randoms(1).floats(4096), [64, 64]);
    const once = async (): Promise<number> => {
      const run = compile((t: Tensor) => sum(exp(matmul(t, t)), 0));
      await (await run(x)).read();
      const during = gpu.liveBytes;
      run[Symbol.dispose]();
      await gpu.idle();
      return during;
    };
    await once(); // the first time, the tuner and the readback keep a staging buffer
    const before = gpu.liveBytes;
    expect(await once()).toBeGreaterThanOrEqual(before + 2 * 64 * 64 * 4);
    expect(gpu.liveBytes).toBe(before);
  });
});

describe("results", () => {
  test("may be passed on to other functions, and to the same one", async () => {
    using double = compile((x: Tensor) => mul(x, 2));
    using triple = compile((x: Tensor) => mul(x, 3));
    let x = await double(tensor([1, 2]));
    x = await triple(x);
    expect(await values(add(x, 1))).toEqual([7, 13]);
    let y = await double(tensor([1]));
    for (let i = 0; i < 5; i++) y = await double(y);
    expect(await values(y)).toEqual([64]);
  });

  test("are stale after the next call of their signature, and say so when read, used or passed on", async () => {
    using run = compile((x: Tensor) => add(x, 1));
    using other = compile((x: Tensor) => mul(x, 2));
    const old = await run(tensor([1]));
    await run(tensor([1, 2]));
    expect(await values(old)).toEqual([2]);
    const fresh = await run(tensor([5]));
    expect(await rejectionOf(old.read())).toBe("use_after_dispose");
    expect(await rejectionOf(mul(old, 2).read())).toBe("use_after_dispose");
    expect(await rejectionOf(other(old))).toBe("use_after_dispose");
    expect(await values(fresh)).toEqual([6]);
  });

  test("are never silently those of a later call, whatever runs side by side", async () => {
    using run = compile((x: Tensor) => add(x, 1));
    using other = compile((x: Tensor) => mul(x, 2));
    await other(tensor([0]));
    for (const use of [other, (x: Tensor): Promise<Tensor> => Promise.resolve(mul(x, 2))]) {
      const first = await run(tensor([1]));
      const reading = use(first).then((t) => t.read());
      const second = run(tensor([100]));
      const outcome = await reading.then(
        (v) => v[0],
        (e: { code: string }) => e.code,
      );
      expect([4, "use_after_dispose"]).toContain(outcome);
      await second;
    }
  });

  test("are stale once their function is disposed", async () => {
    const run = compile((x: Tensor) => add(x, 1));
    const y = await run(tensor([1]));
    run[Symbol.dispose]();
    await gpu.idle();
    expect(await rejectionOf(y.read())).toBe("use_after_dispose");
    expect(await values(await run(tensor([1])))).toEqual([2]);
    run[Symbol.dispose]();
  });
});

describe("what can not be compiled", () => {
  test.each([
    ["a typed array", new Float32Array(3)],
    ["a string", "x"],
    ["a flag", true],
    ["null", null],
    ["a promise", Promise.resolve(1)],
    ["a function", (): number => 1],
    ["something nested", { a: [new Date(0)] }],
  ])("%s as an argument or a result", async (_name, value) => {
    using takes = compile((_x: Tree) => tensor([1]));
    expect(await rejectionOf(takes(value as unknown as Tree))).toBe("compile_argument");
    using gives = compile(() => ({ x: value as unknown as Tree }));
    expect(await rejectionOf(gives())).toBe("compile_argument");
  });

  test("an async function", async () => {
    const fn = (async (x: Tensor) => add(x, 1)) as unknown as (x: Tensor) => Tensor;
    using run = compile(fn);
    expect(await rejectionOf(run(tensor([1])))).toBe("compile_argument");
  });

  test("a call of a compiled function inside another, and reading while tracing", async () => {
    using inner = compile((x: Tensor) => add(x, 1));
    const outcome = (p: Promise<unknown>): Promise<unknown> =>
      p.then(
        () => "no error",
        (e: { code: string }) => e.code,
      );
    const inside: Promise<unknown>[] = [];
    using outer = compile((x: Tensor) => {
      inside.push(outcome(inner(x)), outcome(x.read()));
      return x;
    });
    await outer(tensor([1]));
    expect(await Promise.all(inside)).toEqual(["state_conflict", "compile_argument"]);
  });
});

describe("describe", () => {
  test("counts kernels, operations and memory, and prints them", async () => {
    const x = tensor(randoms(1).floats(1024), [32, 32]);
    using run = compile((a: Tensor) => matmul(a, a), { label: "square" });
    const report = await run.describe(x);
    expect(report.label).toBe("square");
    expect(report.flops).toBe(2 * 32 ** 3);
    expect(report.memory.other).toBe(2 * 4096);
    expect(report.kernels.reduce((n, k) => n + k.bytes, 0)).toBe(report.bytes);
    expect(String(report)).toMatch(/square.*\n.*matmul/);
  });

  test("measures each kernel where the adapter takes timestamps", async ({ skip }) => {
    if (!gpu.hasTimestamps) skip("the adapter takes no timestamps");
    using run = compile((a: Tensor) => sum(exp(matmul(a, a)), 0));
    const x = tensor(randoms(1).floats(4096), [64, 64]);
    await run(x);
    const plan = await run.plan(x);
    const profile = await plan.profile();
    expect(profile.map((k) => k.label)).toEqual(plan.describe().kernels.map((k) => k.label));
    for (const { ms } of profile) expect(ms).toBeGreaterThanOrEqual(0);
  });
});
