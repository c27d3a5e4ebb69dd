import { afterAll, describe, expect, it } from "vitest";
import {
  AdamW,
  applyLora,
  bytesSource,
  type CausalLM,
  chainForest,
  compile,
  createModel,
  grad,
  type LoraModel,
  loadLora,
  loraFiles,
  type ModelFile,
  memoryFiles,
  mergeLora,
  modelFiles,
  parametersOf,
  type State,
  type Tensor,
  tensor,
  unmergeLora,
} from "../../../engine/index.ts";
import { readSafetensorsHeader } from "../../../engine/models/safetensors.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import {
  adapterExpected,
  adapterFiles,
  goldenAdapters,
  loadGoldenAdapter,
} from "../../support/golden-adapters.ts";
import { goldenFile, loadGolden } from "../../support/golden-models.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const gpu = await device();
afterAll(() => gpu.idle());

const IDS = Uint32Array.from([7, 3, 50, 94, 20, 21, 22, 3]);
const LABELS = Uint32Array.from([3, 50, 94, 20, 21, 22, 3, 8]);

/** Logits [tokens, vocab] of sequences of `length` tokens. */
async function logitsOf(
  model: CausalLM,
  ids: Uint32Array = IDS,
  length = ids.length,
): Promise<Float32Array> {
  const { transformer } = model;
  const forest = chainForest(new Array<number>(ids.length / length).fill(length));
  using run = compile((x: Tensor) => transformer.logits(transformer.hidden(x, forest)), {
    device: gpu,
  });
  return (await (await run(tensor(ids))).read()) as Float32Array;
}

const lossOf = ({ transformer }: CausalLM): Tensor =>
  transformer
    .score(tensor(IDS), tensor(LABELS), chainForest([IDS.length]))
    .logprob.mean()
    .mul(-1);

function stepOf(policy: CausalLM, optimizer: AdamW): Tensor {
  const loss = lossOf(policy);
  optimizer.step(grad(loss, optimizer.parameters));
  return loss;
}

const largest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);

const valuesOf = (states: readonly State[]): Promise<Float32Array[]> =>
  Promise.all(states.map(async (s) => (await s.read()) as Float32Array));

async function bytesOf(file: ModelFile): Promise<Uint8Array> {
  const bytes: number[] = [];
  for await (const part of file.parts) for (const byte of part) bytes.push(byte);
  return Uint8Array.from(bytes);
}

async function saved(files: readonly ModelFile[]): Promise<Map<string, Uint8Array>> {
  return new Map(await Promise.all(files.map(async (f) => [f.name, await bytesOf(f)] as const)));
}

const parsed = (bytes: Uint8Array | undefined): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;

/** Adapters whose B is drawn too. */
function randomAdapters(base: CausalLM, options: Parameters<typeof applyLora>[1]): LoraModel {
  const policy = applyLora(base, options);
  const random = randoms(4);
  for (const { layer } of policy.adapters)
    for (const b of layer.adapter.b) b.write(gpu, random.floats(b.size, -0.2, 0.2));
  return policy;
}

describe.each(goldenAdapters)("the PEFT directory for %s", (name) => {
  it("gives PEFT's logits", async () => {
    using base = await loadGolden(gpu, name);
    using policy = await loadGoldenAdapter(base, name);
    const { ids, tokens, logits } = await adapterExpected(name);
    expect(largest(await logitsOf(policy, ids, tokens), logits)).toBeLessThan(1e-4);
    expect(largest(await logitsOf(base, ids, tokens), logits)).toBeGreaterThan(1); // it is no small change
  });

  it("is written as it was read", async () => {
    using base = await loadGolden(gpu, name);
    using policy = await loadGoldenAdapter(base, name);
    const [read, written] = [await adapterFiles(name), await saved(loraFiles(policy))];
    expect([...written.keys()]).toEqual([...read.keys()]);
    const [config, weights] = ["adapter_config.json", "adapter_model.safetensors"];
    expect(written.get(weights)).toEqual(read.get(weights));
    expect(parsed(written.get(config))).toEqual(parsed(read.get(config)));
  });
});

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

/** The saved model has the bytes of the golden one but for the tensors that match. */
async function expectUntouched(model: CausalLM, name: string, but: RegExp): Promise<void> {
  const origin = (await goldenFile(name, "model.safetensors")) as Uint8Array;
  const written = (await saved(modelFiles(model))).get("model.safetensors") as Uint8Array;
  const { entries } = await readSafetensorsHeader(bytesSource("origin", origin));
  expect(written.length).toBe(origin.length);
  for (const { name: tensorName, begin, end } of entries.values()) {
    const isSame = written.subarray(begin, end).every((b, i) => b === origin[begin + i]);
    expect([tensorName, isSame]).toEqual([tensorName, !but.test(tensorName)]);
  }
}

describe("loraFiles", () => {
  it("writes new adapters so that they are read back, with PEFT's names", async () => {
    using base = await loadGolden(gpu, "gpt2");
    using policy = randomAdapters(base, {
      ...{ rank: 3, alpha: 5, targets: ["c_attn", "mlp.c_proj"], useRslora: true },
      ...{ rankPattern: { "h.1.attn.c_attn": 2 }, alphaPattern: { c_proj: 0.5 } },
    });
    const files = await saved(loraFiles(policy, { baseName: "openai-community/gpt2" }));
    expect(parsed(files.get("adapter_config.json"))).toEqual({
      ...{ peft_type: "LORA", task_type: "CAUSAL_LM", r: 3, lora_alpha: 5, lora_dropout: 0 },
      ...{ target_modules: ["c_attn", "mlp.c_proj"], use_rslora: true, bias: "none" },
      ...{ rank_pattern: { "h.1.attn.c_attn": 2 }, alpha_pattern: { c_proj: 0.5 } },
      ...{ init_lora_weights: true, inference_mode: true, fan_in_fan_out: true },
      base_model_name_or_path: "openai-community/gpt2",
    });
    const weights = files.get("adapter_model.safetensors") as Uint8Array;
    const { entries, metadata } = await readSafetensorsHeader(bytesSource("written", weights));
    expect(metadata).toEqual({ format: "pt" });
    const shapes = [...entries.values()].map(({ name, dtype, shape }) => [name, dtype, shape]);
    const module = "base_model.model.transformer.h";
    expect(shapes).toEqual([
      [`${module}.0.attn.c_attn.lora_A.weight`, "F32", [3, 32]],
      [`${module}.0.attn.c_attn.lora_B.weight`, "F32", [96, 3]],
      [`${module}.0.mlp.c_proj.lora_A.weight`, "F32", [3, 128]],
      [`${module}.0.mlp.c_proj.lora_B.weight`, "F32", [32, 3]],
      [`${module}.1.attn.c_attn.lora_A.weight`, "F32", [2, 32]],
      [`${module}.1.attn.c_attn.lora_B.weight`, "F32", [96, 2]],
      [`${module}.1.mlp.c_proj.lora_A.weight`, "F32", [3, 128]],
      [`${module}.1.mlp.c_proj.lora_B.weight`, "F32", [32, 3]],
    ]);
    using again = await loadLora(base, memoryFiles(files));
    expect(await valuesOf(parametersOf(again))).toEqual(await valuesOf(parametersOf(policy)));
    expect(await logitsOf(again)).toEqual(await logitsOf(policy));
    expect(await saved(loraFiles(again))).toEqual(files);
  });

  it("rounds to another dtype when it is asked to, but not to infinity", async () => {
    using base = await loadGolden(gpu, "llama3");
    using policy = randomAdapters(base, { targets: ["o_proj"] });
    const name = "adapter_model.safetensors";
    const narrow = await saved(loraFiles(policy, { dtype: "BF16" }));
    const source = bytesSource(name, narrow.get(name) as Uint8Array);
    const { entries } = await readSafetensorsHeader(source);
    expect(new Set([...entries.values()].map((e) => e.dtype))).toEqual(new Set(["BF16"]));
    using again = await loadLora(base, memoryFiles(narrow));
    const [before, after] = [await logitsOf(policy), await logitsOf(again)];
    expect(largest(before, after)).toBeLessThan(0.1);
    const [, b] = parametersOf(policy) as [State, State];
    b.write(gpu, new Float32Array(b.size).fill(1e6));
    expect(await rejectionOf(saved(loraFiles(policy, { dtype: "F16" })))).toBe("non_finite");
  });
});
