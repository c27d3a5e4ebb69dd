import { describe, expect, it } from "vitest";
import {
  applyLora,
  type CausalLM,
  createModel,
  type LoraModel,
  loadLora,
  memoryFiles,
} from "../../../engine/index.ts";
import { safetensorsParts } from "../../../engine/models/safetensors-writer.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";

// nothing of this is computed: weights are never allocated
const SIZES = { vocab: 8, layers: 2, width: 16, heads: 2, mlpWidth: 24 };
const llama = createModel(SIZES);
const gpt2 = createModel({ ...SIZES, family: "gpt2", maxDepth: 16 });

interface Saved {
  readonly dtype: "F32" | "F16" | "BF16" | "I32";
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const floats = (...shape: number[]): Saved => {
  const values = new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5);
  return { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
};

const nameOf = (layer: number, module: string, matrix: "A" | "B"): string =>
  `base_model.model.model.layers.${layer}.${module}.lora_${matrix}.weight`;

/** Adapters of rank 2 on q_proj. */
const tensorsOf = (): Map<string, Saved> =>
  new Map(
    [0, 1].flatMap((layer) => [
      [nameOf(layer, "self_attn.q_proj", "A"), floats(2, 16)] as const,
      [nameOf(layer, "self_attn.q_proj", "B"), floats(16, 2)] as const,
    ]),
  );

const CONFIG = { peft_type: "LORA", r: 2, target_modules: ["q_proj"] };
const Q = nameOf(1, "self_attn.q_proj", "A");

async function filesOf(
  config: unknown,
  tensors: Map<string, Saved>,
): Promise<Map<string, Uint8Array>> {
  const parts: Uint8Array[] = [];
  const all = [...tensors].map(([name, { bytes, ...t }]) => ({ name, ...t, bytes: () => bytes }));
  for await (const part of safetensorsParts(all)) parts.push(part);
  return new Map([
    ["adapter_config.json", new TextEncoder().encode(JSON.stringify(config))],
    ["adapter_model.safetensors", Uint8Array.from(parts.flatMap((p) => [...p]))],
  ]);
}

async function load(
  config: unknown,
  tensors: Map<string, Saved> = tensorsOf(),
  base: CausalLM = llama,
): Promise<LoraModel> {
  return loadLora(base, memoryFiles(await filesOf(config, tensors)));
}

const modulesOf = ({ adapters }: LoraModel): string[] => adapters.map((a) => a.name);

describe("targets", () => {
  const q = (layer: number): string => `model.layers.${layer}.self_attn.q_proj`;
  const h = (layer: number, ...modules: string[]): string[] =>
    modules.map((m) => `transformer.h.${layer}.${m}`);
  it.each<[string, CausalLM, string | string[] | undefined, string[]]>([
    [
      "nothing, in Llama",
      llama,
      undefined,
      [q(0), q(0).replace("q_", "v_"), q(1), q(1).replace("q_", "v_")],
    ],
    ["nothing, in GPT-2", gpt2, undefined, [...h(0, "attn.c_attn"), ...h(1, "attn.c_attn")]],
    [
      "a name that two modules end with",
      gpt2,
      ["c_proj"],
      [0, 1].flatMap((i) => h(i, "attn.c_proj", "mlp.c_proj")),
    ],
    ["a longer end", gpt2, ["mlp.c_proj"], [0, 1].flatMap((i) => h(i, "mlp.c_proj"))],
    ["a whole name", llama, [q(1)], [q(1)]],
    ["an expression", llama, "model\\.layers\\.1\\..*\\.(q|x)_proj", [q(1)]],
    [
      "all",
      gpt2,
      "All-Linear",
      [0, 1].flatMap((i) => h(i, "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")),
    ],
  ])("are chosen as PEFT does by %s", (_, model, targets, expected) => {
    expect(modulesOf(applyLora(model, targets ? { targets } : {}))).toEqual(expected);
  });

  it("take rank and alpha of the first expression that an end of their name matches", () => {
    const { adapters } = applyLora(llama, {
      targets: ["q_proj", "k_proj", "v_proj"],
      rankPattern: { "1.self_attn.q_proj": 2, "(q|k)_proj": 4, q_proj: 16 },
      alphaPattern: { "layers.*": 1, ".*0.self_attn.v_proj": 3 },
      useRslora: true,
    });
    const sizes = adapters.map(({ layer, part }) => layer.adapter.parts[part]);
    expect(sizes.map((p) => p?.rank)).toEqual([4, 4, 8, 2, 4, 8]);
    const alphas = sizes.map((p) => (p?.scale as number) * Math.sqrt(p?.rank as number));
    for (const alpha of alphas) expect(alpha).toBeCloseTo(1, 12);
  });
});

describe("loadLora", () => {
  it("reads what is least, with PEFT's defaults for the rest", async () => {
    const policy = await load({ ...CONFIG, lora_dropout: 0.1, some_future_field: null, other: {} });
    expect(modulesOf(policy)).toEqual([0, 1].map((i) => `model.layers.${i}.self_attn.q_proj`));
    expect(policy.lora).toMatchObject({ rank: 2, alpha: 8, useRslora: false });
    expect(policy.adapters[0]?.layer.adapter.parts).toEqual([
      { start: 0, columns: 16, rank: 2, scale: 4 },
    ]);
  });

  it.each<[string, object, string]>([
    ["LoHa", { peft_type: "LOHA" }, "peft_type"],
    ["DoRA", { use_dora: true }, "use_dora"],
    ["trained biases", { bias: "lora_only" }, "bias"],
    ["biases of B", { lora_bias: true }, "lora_bias"],
    ["whole modules", { modules_to_save: ["lm_head"] }, "modules_to_save"],
    ["some layers", { layers_to_transform: [1] }, "layers_to_transform"],
    ["a layer 0", { layers_to_transform: 0 }, "layers_to_transform"],
    ["excluded modules", { exclude_modules: ["v_proj"] }, "exclude_modules"],
    ["PiSSA", { init_lora_weights: "pissa" }, "init_lora_weights"],
    ["classifiers", { task_type: "SEQ_CLS" }, "task_type"],
    ["what PEFT has not yet", { use_something_new: { rate: 1 } }, "use_something_new"],
    ["a rank of 0", { r: 0 }, "r"],
    ["a rank of text", { r: "8" }, "r"],
    ["an alpha below 0", { lora_alpha: -1 }, "lora_alpha"],
    ["no targets", { target_modules: [] }, "target_modules"],
    ["targets that are no names", { target_modules: [1] }, "target_modules"],
    ["targets of another family", { target_modules: ["c_attn"] }, "target_modules"],
    ["a pattern of Python alone", { target_modules: "(?P<a>q)_proj" }, "target_modules"],
    ["a pattern that is none", { rank_pattern: { "(": 2 } }, "rank_pattern"],
    ["ranks that are none", { rank_pattern: { q_proj: 1.5 } }, "rank_pattern"],
    ["alphas that are a list", { alpha_pattern: [1] }, "alpha_pattern"],
    ["a flag of text", { use_rslora: "yes" }, "use_rslora"],
  ])("refuses %s, naming the field", async (_, change, field) => {
    const error = await errorOf(load({ ...CONFIG, ...change }));
    expect(error).toMatchObject({ code: "config_invalid" });
    expect(error.message).toContain(`adapter_config.json: "${field}"`);
  });

  it.each<[string, (tensors: Map<string, Saved>) => void, string]>([
    ["one that is missing", (t) => t.delete(Q), Q],
    ["one of another rank", (t) => t.set(Q, floats(3, 16)), Q],
    ["one of another width", (t) => t.set(Q, floats(2, 8)), Q],
    ["one that lies the other way", (t) => t.set(Q, floats(16, 2)), Q],
    ["integers", (t) => t.set(Q, { ...floats(2, 16), dtype: "I32" }), Q],
    ["NaN", (t) => t.get(Q)?.bytes.fill(255, 20, 24), Q],
    [
      "one of no adapter",
      (t) => t.set("base_model.model.lm_head.weight", floats(8, 16)),
      "lm_head",
    ],
    [
      "an adapter that was not asked for",
      (t) => t.set(nameOf(0, "mlp.up_proj", "A"), floats(2, 16)),
      "mlp.up_proj",
    ],
  ])("refuses %s among the tensors, naming file and tensor", async (_, change, name) => {
    const tensors = tensorsOf();
    change(tensors);
    const error = await errorOf(load(CONFIG, tensors));
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    expect(error.message).toContain("adapter_model.safetensors");
    expect(error.message).toContain(name);
  });

  it("refuses files that are none, or are not there", async () => {
    const files = await filesOf(CONFIG, tensorsOf());
    const config = files.get("adapter_config.json") as Uint8Array;
    const weights = files.get("adapter_model.safetensors") as Uint8Array;
    for (const [name, bytes] of [
      ["adapter_config.json", undefined],
      ["adapter_config.json", config.subarray(0, 20)],
      ["adapter_config.json", new TextEncoder().encode("[]")],
      ["adapter_model.safetensors", undefined],
      ["adapter_model.safetensors", weights.subarray(0, weights.length - 1)],
      ["adapter_model.safetensors", weights.subarray(0, 4)],
    ] as const) {
      const broken = new Map(files);
      if (bytes) broken.set(name, bytes);
      else broken.delete(name);
      const error = await errorOf(loadLora(llama, memoryFiles(broken)));
      expect(error).toMatchObject({ code: "file_invalid" });
      expect(error.message).toContain(name);
    }
  });

  it("refuses a model that has adapters", async () => {
    const policy = await load(CONFIG);
    expect(await rejectionOf(load(CONFIG, tensorsOf(), policy))).toBe("argument_invalid");
  });
});
