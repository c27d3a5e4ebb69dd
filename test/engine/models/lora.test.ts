import { afterAll, describe, expect, it } from "vitest";
import {
  AdamW,
  applyLora,
  type CausalLM,
  compile,
  createModel,
  grad,
  type LoraModel,
  mergeLora,
  parametersOf,
  type State,
} from "../../../engine/index.ts";
import { codeOf } from "../../support/errors.ts";
import { loadGolden } from "../../support/golden-models.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { largest, logitsOf, lossOf, randomAdapters, stepOf, valuesOf } from "../../support/lora.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const gpu = await device();
afterAll(() => gpu.idle());

describe("applyLora", () => {
  it("changes nothing at first, and trains nothing but the adapters", async () => {
    using base = await loadGolden(gpu, "llama3");
    const all = parametersOf(base);
    const before = await logitsOf(base);
    using policy = applyLora(base, { rank: 4, targets: ["k_proj", "up_proj", "o_proj"] });
    expect(largest(await logitsOf(policy), before)).toBe(0);
    expect(policy.base).toBe(base);
    expect(parametersOf(base)).toEqual(all);
    expect(parametersOf(policy).map((p) => [p.name, p.shape])).toEqual(
      [0, 1].flatMap((layer) => [
        [`layers.${layer}.attention.qkv.adapter.a`, [4, 32]],
        [`layers.${layer}.attention.qkv.adapter.b.0`, [16, 4]],
        [`layers.${layer}.attention.output.adapter.a`, [4, 32]],
        [`layers.${layer}.attention.output.adapter.b.0`, [32, 4]],
        [`layers.${layer}.mlp.gateUp.adapter.a`, [4, 32]],
        [`layers.${layer}.mlp.gateUp.adapter.b.0`, [48, 4]],
      ]),
    );
    expect(parametersOf(policy.transformer)).toEqual(parametersOf(policy));
    expect(policy.transformer.head).toBe(base.transformer.embedding.weight);
  });

  it("starts A uniform in ±1/√inputs, the same for the same seed", async () => {
    using base = await loadGolden(gpu, "gpt2");
    const [first, again, other] = [7, 7, 8].map((seed) =>
      applyLora(base, { rank: 64, targets: "all-linear", seed }),
    ) as [LoraModel, LoraModel, LoraModel];
    const matrices = (policy: LoraModel): Promise<Float32Array[]> =>
      valuesOf(policy.adapters.map(({ layer }) => layer.adapter.a));
    const drawn = await matrices(first);
    expect(first.adapters.map(({ name }) => name).slice(0, 4)).toEqual(
      ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"].map((n) => `transformer.h.0.${n}`),
    );
    expect(await matrices(again)).toEqual(drawn);
    expect(await matrices(other)).not.toEqual(drawn);
    for (const [i, { layer }] of first.adapters.entries()) {
      const bound = 1 / Math.sqrt(layer.weight.shape[0] as number);
      const values = drawn[i] as Float32Array;
      const most = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      expect(most).toBeLessThanOrEqual(bound);
      expect(most).toBeGreaterThan(0.99 * bound);
      // variance of a uniform number: bound²/3
      const square = values.reduce((sum, v) => sum + v * v, 0) / values.length;
      expect(square / (bound * bound)).toBeCloseTo(1 / 3, 1);
    }
    for (const policy of [first, again, other]) policy[Symbol.dispose]();
  });

  it("refuses what no module has, and settings that make no sense", async () => {
    using base = await loadGolden(gpu, "llama3");
    const apply = (options: object) => codeOf(() => applyLora(base, options));
    for (const options of [
      { targets: ["q_proj", "c_attn"] },
      { targets: ["lm_head"] },
      { targets: ["proj"] },
      { targets: [] },
      { targets: "(" },
      { targets: "q_proj" }, // a whole name must match
      { rank: 0 },
      { rank: 2.5 },
      { rank: 1e9 },
      { alpha: Number.NaN },
      { rankPattern: { q_proj: 0 } },
      { alphaPattern: { "[": 1 } },
      { useRslora: 1 },
    ])
      expect([options, apply(options)]).toEqual([options, "argument_invalid"]);
    using policy = applyLora(base);
    expect(codeOf(() => applyLora(policy))).toBe("argument_invalid");
  });
});

describe("training a policy", () => {
  it("gives A and B the gradients that the merged weights imply", async () => {
    using base = await loadGolden(gpu, "llama3");
    using policy = randomAdapters(base, {
      ...{ rank: 3, alpha: 5, targets: ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj"] },
      alphaPattern: { v_proj: 2 },
    });
    using merged = await mergeLora(policy);
    const gradients = async (model: CausalLM): Promise<Map<string, Float32Array>> => {
      const wanted = parametersOf(model);
      using run = compile(() => grad(lossOf(model), wanted), { device: gpu });
      const values = await Promise.all((await run()).map((g) => g.read()));
      return new Map(wanted.map((p, i) => [p.name, values[i] as Float32Array]));
    };
    const [own, whole] = [await gradients(policy), await gradients(merged)];
    expect(own.size).toBe(parametersOf(policy).length);
    for (const { layer } of policy.adapters) {
      const { a, b, parts } = layer.adapter;
      const [inputs, outputs] = layer.weight.shape as [number, number];
      const dw = whole.get(layer.weight.name) as Float32Array;
      const [av, bv] = [(await a.read()) as Float32Array, await valuesOf(b)];
      const da = new Float64Array(a.size);
      let row = 0;
      parts.forEach(({ start, columns, rank, scale }, part) => {
        const db = new Float64Array(columns * rank);
        for (let i = 0; i < inputs; i++)
          for (let c = 0; c < columns; c++)
            for (let r = 0; r < rank; r++) {
              const d = scale * (dw[i * outputs + start + c] as number);
              const [ia, ib] = [(row + r) * inputs + i, c * rank + r];
              da[ia] = (da[ia] ?? 0) + d * (bv[part]?.[ib] as number);
              db[ib] = (db[ib] ?? 0) + d * (av[ia] as number);
            }
        row += rank;
        const name = (b[part] as State).name;
        expectClose(own.get(name) as Float32Array, db, TOLERANCES.parameterGradient, name);
      });
      expectClose(own.get(a.name) as Float32Array, da, TOLERANCES.parameterGradient, a.name);
    }
  });

  it("recomputes layers to the same gradients where it is asked to", async () => {
    const gradients = async (isCheckpointed: boolean): Promise<Float32Array[]> => {
      const sizes = { vocab: 96, layers: 2, width: 16, heads: 2, mlpWidth: 24 };
      using base = createModel({ ...sizes, isCheckpointed });
      using policy = randomAdapters(base, { rank: 2, targets: ["k_proj", "down_proj"] });
      using run = compile(() => grad(lossOf(policy), parametersOf(policy)), { device: gpu });
      return Promise.all((await run()).map(async (g) => (await g.read()) as Float32Array));
    };
    const [kept, recomputed] = [await gradients(false), await gradients(true)];
    expect(recomputed).toEqual(kept);
    expect(kept.every((g) => g.some((d) => d !== 0))).toBe(true);
  });

  it("moves the adapters alone, and costs no memory but theirs", async () => {
    using base = await loadGolden(gpu, "llama3");
    const weights = parametersOf(base);
    const [bytes, reference] = [await valuesOf(weights), await logitsOf(base)];
    const live = gpu.liveBytes;
    using policy = applyLora(base, { rank: 4, targets: "all-linear" });
    const trained = parametersOf(policy);
    const elements = trained.reduce((sum, p) => sum + p.size, 0);
    using optimizer = new AdamW(gpu, trained, { lr: 1e-2 });
    {
      using step = compile(() => stepOf(policy, optimizer), { device: gpu });
      const losses: number[] = [];
      for (let i = 0; i < 6; i++) losses.push(await (await step()).item());
      expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 0.5);
    }
    await gpu.idle();
    // parameters and two moments, each at a 256-byte boundary, and what an optimizer has besides
    expect(gpu.liveBytes - live).toBeLessThan(3 * (4 * elements + 256 * trained.length) + 4096);
    expect(await valuesOf(weights)).toEqual(bytes);
    expect(await logitsOf(base)).toEqual(reference);
    expect(largest(await logitsOf(policy), reference)).toBeGreaterThan(0.1);
  });
});
