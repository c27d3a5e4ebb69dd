import { afterAll, describe, expect, it } from "vitest";
import {
  AdamW,
  applyLora,
  compile,
  createModel,
  mergeLora,
  modelFiles,
  parametersOf,
  type State,
  unmergeLora,
} from "../../../engine/index.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { loadGolden } from "../../support/golden-models.ts";
import { device, expectClose } from "../../support/gpu.ts";
import {
  expectUntouched,
  largest,
  logitsOf,
  randomAdapters,
  stepOf,
  valuesOf,
} from "../../support/lora.ts";

const gpu = await device();
afterAll(() => gpu.idle());

describe.each(["f16", "bf16"] as const)("weights held in %s", (weightDtype) => {
  const sizes = { vocab: 96, layers: 2, width: 16, heads: 2, mlpWidth: 24, initStd: 0.2 };
  const targets = ["q_proj", "v_proj", "down_proj"];

  it("are trained through adapters of f32", async () => {
    using base = createModel({ ...sizes, weightDtype });
    const weights = await valuesOf(parametersOf(base));
    using policy = applyLora(base, { targets });
    using optimizer = new AdamW(gpu, parametersOf(policy), { lr: 3e-2 });
    using step = compile(() => stepOf(policy, optimizer), { device: gpu });
    const first = await (await step()).item();
    for (let i = 0; i < 4; i++) await step();
    expect(await (await step()).item()).toBeLessThan(first - 0.2);
    expect(await valuesOf(parametersOf(base))).toEqual(weights);
  });

  it("are merged into what the device computes in", async () => {
    using base = createModel({ ...sizes, weightDtype });
    using policy = randomAdapters(base, { rank: 4, targets });
    using merged = await mergeLora(policy);
    const isHalf = weightDtype === "f16" && gpu.hasF16;
    const layers = [...new Set(policy.adapters.map(({ layer }) => layer))];
    for (const { weight, adapter } of layers) {
      const own = parametersOf(merged).find((p) => p.name === weight.name) as State;
      expect(own.dtype).toBe(isHalf ? "f16" : "f32");
      const expected = await adapter.addedTo(weight).read();
      // rounded by half an ulp, or to 0 below 2^-14
      const rounding = isHalf ? { abs: 2 ** -14, rel: 2 ** -11 + 1e-6 } : { abs: 1e-6, rel: 0 };
      expectClose(await own.cast("f32").read(), expected, rounding, weight.name);
    }
    const [tuned, reference] = [await logitsOf(policy), await logitsOf(base)];
    const rounding = { abs: isHalf ? 2e-2 : 2e-5, rel: 0 };
    expectClose(await logitsOf(merged), tuned, rounding, "merged");
    expect(largest(tuned, reference)).toBeGreaterThan(0.2);
    await unmergeLora(merged, policy);
    expectClose(await logitsOf(merged), reference, rounding, "unmerged");
  });
});

describe("mergeLora and unmergeLora", () => {
  it("give the policy's model, and the base's weights again", async () => {
    using base = await loadGolden(gpu, "llama3");
    const [weights, reference] = [await valuesOf(parametersOf(base)), await logitsOf(base)];
    using policy = randomAdapters(base, { rank: 4, targets: ["q_proj", "v_proj", "down_proj"] });
    const tuned = await logitsOf(policy);
    using merged = await mergeLora(policy);
    expectClose(await logitsOf(merged), tuned, { abs: 2e-5, rel: 2e-5 }, "merged");
    expect(largest(tuned, reference)).toBeGreaterThan(0.1);
    expect(await valuesOf(parametersOf(base))).toEqual(weights);
    expect(await logitsOf(policy)).toEqual(tuned);

    await expectUntouched(merged, "llama3", /q_proj|v_proj|down_proj/);
    expect(codeOf(() => modelFiles(policy))).toBe("argument_invalid");

    await unmergeLora(merged, policy);
    for (const [i, values] of (await valuesOf(parametersOf(merged))).entries())
      expect(largest(values, weights[i] as Float32Array)).toBeLessThan(1e-6);
    expect(await rejectionOf(unmergeLora(base, policy))).toBe("argument_invalid");
    using other = await loadGolden(gpu, "gpt2");
    expect(await rejectionOf(unmergeLora(other, policy))).toBe("argument_invalid");
    expect(await valuesOf(parametersOf(base))).toEqual(weights);
  });

  it("leave the rest of a checkpoint that is wider than its weights to the byte", async () => {
    using base = await loadGolden(gpu, "llama3", "f16");
    using merged = await mergeLora(randomAdapters(base, { targets: ["q_proj"] }));
    await expectUntouched(merged, "llama3", /[qkv]_proj/); // which are one matrix here, held in f16
  });
});
