import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { kernelVariants } from "../../../engine/index.ts";
import { allSelfTests } from "../../../src/doctor/all-tests.ts";
import { affine, mul } from "../../../src/doctor/scalar.ts";
import { differentiable, operands, runSelfTest } from "../../../src/doctor/self-test.ts";
import { device } from "../../support/gpu.ts";

const repository = resolve(import.meta.dirname, "../../..");

function doctor(env: NodeJS.ProcessEnv = {}): { code: number | null; report: DoctorReport } {
  const main = ["--import", "tsx", "src/cli/main.ts", "doctor", "--json"];
  const options = { cwd: repository, encoding: "utf8", env: { ...process.env, ...env } } as const;
  const done = spawnSync(process.execPath, main, options);
  return { code: done.status, report: JSON.parse(done.stdout) as DoctorReport };
}

interface DoctorReport {
  readonly ok: boolean;
  readonly checks: readonly { name: string; status: string; detail: string; fix?: string }[];
  readonly adapter: { readonly isSoftware: boolean } | null;
  readonly kernels: readonly { readonly name: string; readonly isOn: boolean }[];
  readonly selfTests: readonly { readonly family: string; readonly ok: boolean }[];
}

describe("forge-gpu doctor", () => {
  it("finds every family of kernels right on this adapter, and exits with 0", async () => {
    const { code, report } = doctor();
    expect(report.selfTests.filter(({ ok }) => !ok)).toEqual([]);
    const families = new Set(allSelfTests(await device()).map(({ family }) => family));
    for (const family of families) {
      expect(report.checks).toContainEqual(
        expect.objectContaining({ name: `self-test: ${family}`, status: "ok" }),
      );
    }
    expect({ code, ok: report.ok }).toEqual({ code: 0, ok: true });
  });
  it("says what the adapter offers, and why variants are off", async () => {
    const { report } = doctor();
    for (const name of [
      "node",
      "adapter",
      "features",
      "subgroups",
      "limits",
      "toggles",
      "tuning",
    ]) {
      expect(report.checks.map((c) => c.name)).toContain(name);
    }
    expect(report.adapter?.isSoftware).toBe((await device()).isSoftware);
    const matmul = report.checks.find(({ name }) => name === "kernels: matmul");
    for (const { name } of report.kernels.filter((k) => !k.isOn)) {
      if (/matrix|tiles|lanes/.test(name)) expect(matmul?.detail).toContain(name);
    }
  });
  it("fails with the fix when there is no adapter", () => {
    const nothing = { VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json" };
    const { code, report } = doctor({ ...nothing, XDG_CACHE_HOME: "/nowhere" });
    expect({ code, ok: report.ok, adapter: report.adapter }).toEqual({
      code: 1,
      ok: false,
      adapter: null,
    });
    const adapter = report.checks.find(({ name }) => name === "adapter");
    expect(adapter).toMatchObject({ status: "fail", fix: expect.stringContaining("doctor --fix") });
  });
});

describe("a self-test", () => {
  const square = (slope: number) =>
    differentiable({
      family: "test",
      name: "x²",
      inputs: operands({ x: [9] }),
      engine: ({ x }) => x.mul(x),
      definition: ({ x }) => x.map((value) => affine(mul(value, value), slope)),
    });

  it("passes for a right definition", async () => {
    expect(await runSelfTest(await device(), square(1))).toMatchObject({ ok: true });
  });
  it("fails for a definition that differs in the fifth digit, and names the element", async () => {
    const result = await runSelfTest(await device(), square(1 + 2e-5));
    expect(result).toMatchObject({ ok: false, problem: expect.stringContaining("result 0[") });
  });
  it("fails when only the gradient is wrong", async () => {
    const test = square(1);
    const broken = {
      ...test,
      expected: () =>
        test.expected().map(({ name, values }) => ({
          name,
          values: name === "gradient of x" ? Array.from(values, (v) => 1.001 * v) : values,
        })),
    };
    const result = await runSelfTest(await device(), broken);
    expect(result).toMatchObject({ ok: false, problem: expect.stringContaining("gradient of x") });
  });
  it("fails for NaN, for missing numbers, and when the engine throws", async () => {
    const gpu = await device();
    const of = (values: readonly number[]) => ({
      family: "test",
      name: "numbers",
      tolerance: 1,
      actual: async () => [{ name: "y", values }],
      expected: () => [{ name: "y", values: [1, 2] }],
    });
    expect(await runSelfTest(gpu, of([1, 2]))).toMatchObject({ ok: true });
    expect(await runSelfTest(gpu, of([1, Number.NaN]))).toMatchObject({ ok: false });
    expect(await runSelfTest(gpu, of([1]))).toMatchObject({ ok: false });
    const throwing = { ...of([]), actual: () => Promise.reject(new Error("lost")) };
    expect(await runSelfTest(gpu, throwing)).toMatchObject({ ok: false, problem: "lost" });
  });
  it("covers every matmul variant that is on", async () => {
    const gpu = await device();
    const names = allSelfTests(gpu).map(({ name }) => name);
    for (const { family, name, isOn } of kernelVariants(gpu)) {
      if (family === "matmul" && isOn) expect(names).toContain(`${name} NN`);
    }
  });
});
