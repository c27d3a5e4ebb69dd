import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import {
  createModel,
  FAMILIES,
  type FamilyName,
  type HfConfig,
  type ModelConfig,
  modelConfig,
  modelOptions,
  type TransformerOptions,
} from "../../../engine/index.ts";
import { configText } from "../../../engine/models/config.ts";
import { codeOf } from "../../support/errors.ts";

const families = Object.keys(FAMILIES) as FamilyName[];

/** The least that a config.json of Llama's kind says. */
const SIZES: HfConfig = {
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};

function optionsOf(model_type: FamilyName, more: HfConfig = {}): TransformerOptions {
  return modelOptions({ model_type, ...SIZES, ...more }).options;
}

/** The error of a config.json: its code, and whether its text names the field. */
function refusal(config: unknown, field: string): string {
  try {
    modelOptions(config as HfConfig);
  } catch (error) {
    if (!(error instanceof ForgeError)) throw error;
    expect(error.message).toContain("config.json");
    expect(error.message).toContain(field);
    return error.code;
  }
  return expect.fail("nothing was thrown");
}

describe("config.json: what is not said is as in the original library", () => {
  it("has the defaults of each class", () => {
    expect(optionsOf("llama")).toMatchObject({ kvHeads: 4, headDim: 8, isTied: false });
    expect(optionsOf("mistral", { num_attention_heads: 16, head_dim: 8 })).toMatchObject({
      ...{ kvHeads: 8, maxDepth: 131_072, window: 4096 },
    });
    expect(optionsOf("qwen3", { num_key_value_heads: 2 })).toMatchObject({
      ...{ headDim: 128, hasHeadNorms: true, hasQkvBias: false, maxDepth: 32_768 },
    });
    expect(optionsOf("qwen2", { num_key_value_heads: 2 })).toMatchObject({
      ...{ headDim: 8, hasQkvBias: true, hasOutputBias: false, normEps: 1e-6 },
    });
    expect(optionsOf("gemma2")).toMatchObject({
      ...{ kvHeads: 4, headDim: 256, isTied: true, attentionSoftcap: 50, logitSoftcap: 30 },
      ...{ attentionScale: 1 / 16, layerAttention: [{ window: 4096 }, { window: 0 }] },
    });
    const gemma3 = optionsOf("gemma3_text", { num_hidden_layers: 6 });
    expect(gemma3).toMatchObject({ rope: { theta: 1e6 }, maxDepth: 131_072 });
    expect(gemma3).not.toHaveProperty("logitSoftcap");
    expect(gemma3.layerAttention?.map((l) => l.window)).toEqual([4096, 4096, 4096, 4096, 4096, 0]);
    expect(gemma3.layerAttention?.[0]?.rope).toEqual({ theta: 1e4 });
    expect(modelOptions({ model_type: "gpt2" }).options).toMatchObject({
      ...{ vocab: 50_257, layers: 12, width: 768, heads: 12, mlpWidth: 3072, maxDepth: 1024 },
      ...{ position: "learned", norm: "layer", isTied: true },
    });
  });

  it("takes null for an absent field, except where it means something", () => {
    expect(optionsOf("llama", { num_key_value_heads: null, rope_scaling: null })).toMatchObject({
      kvHeads: 4,
    });
    expect(optionsOf("mistral", { num_key_value_heads: null }).kvHeads).toBe(4);
    expect(
      optionsOf("mistral", { num_key_value_heads: 2, sliding_window: null }),
    ).not.toHaveProperty("window");
    const capless = { attn_logit_softcapping: null, final_logit_softcapping: null };
    expect(optionsOf("gemma2", capless)).not.toHaveProperty("attentionSoftcap");
  });

  it("reads rotations in the old and in the new form", () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const llama3 = {
      kind: "llama3",
      ...{ factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 },
    };
    const old = { rope_theta: 5e5, rope_scaling: { rope_type: "llama3", ...scaling } };
    const context = { max_position_embeddings: 8192 };
    expect(optionsOf("llama", { ...old, ...context }).rope).toEqual({
      theta: 5e5,
      scaling: llama3,
    });
    const parameters = { rope_type: "llama3", rope_theta: 5e5, ...scaling };
    expect(optionsOf("llama", { rope_parameters: parameters, ...context }).rope).toEqual({
      theta: 5e5,
      scaling: llama3,
    });
    expect(optionsOf("llama", { rope_scaling: { type: "linear", factor: 2 } }).rope).toEqual({
      theta: 10_000,
      scaling: { kind: "linear", factor: 2 },
    });
    const gemma = optionsOf("gemma3_text", {
      ...{ rope_theta: 2e6, rope_local_base_freq: 5e3, sliding_window_pattern: 2 },
      rope_scaling: { rope_type: "linear", factor: 8 },
    });
    expect(gemma.rope).toEqual({ theta: 2e6, scaling: { kind: "linear", factor: 8 } });
    expect(gemma.layerAttention).toEqual([{ window: 4096, rope: { theta: 5e3 } }, { window: 0 }]);
  });

  it("knows which layers of Qwen see a window", () => {
    const windows = (more: HfConfig): unknown =>
      optionsOf("qwen2", { num_key_value_heads: 2, sliding_window: 8, ...more }).layerAttention;
    expect(windows({})).toBeUndefined();
    expect(windows({ use_sliding_window: true })).toEqual([{ window: 0 }, { window: 0 }]);
    const some = [{ window: 0 }, { window: 8 }];
    expect(windows({ use_sliding_window: true, max_window_layers: 1 })).toEqual(some);
    expect(windows({ use_sliding_window: true, max_window_layers: 0 })).toEqual([some[1], some[1]]);
    const types = { layer_types: ["full_attention", "sliding_attention"] };
    expect(windows({ use_sliding_window: true, ...types })).toEqual(some);
  });
});

describe("config.json: what makes no sense, or is not built", () => {
  it.each<[field: string, config: unknown]>([
    ["object", null],
    ["object", [1]],
    ["object", "llama"],
    ["vocab_size", { vocab_size: 0 }],
    ["vocab_size", { vocab_size: 1e10 }],
    ["hidden_size", { hidden_size: "32" }],
    ["hidden_size", { hidden_size: 32.5 }],
    ["hidden_size", { hidden_size: Number.NaN }],
    ["hidden_size", { hidden_size: 33 }],
    ["hidden_size", { hidden_size: 33, head_dim: 8 }],
    ["hidden_size", { hidden_size: undefined }],
    ["num_hidden_layers", { num_hidden_layers: 1e9 }],
    ["num_hidden_layers", { num_hidden_layers: -1 }],
    ["num_key_value_heads", { num_key_value_heads: 3 }],
    ["num_key_value_heads", { num_key_value_heads: 8 }],
    ["rms_norm_eps", { rms_norm_eps: 0 }],
    ["rms_norm_eps", { rms_norm_eps: 1e39 }],
    ["rms_norm_eps", { rms_norm_eps: 1e-60 }],
    ["tie_word_embeddings", { tie_word_embeddings: "yes" }],
    ["attention_bias", { attention_bias: 1 }],
    ["rope_theta", { rope_theta: -1 }],
    ["rope_scaling", { rope_scaling: 4 }],
    ["rope_scaling.factor", { rope_scaling: { type: "linear" } }],
    ["rope_parameters.low_freq_factor", { rope_parameters: { rope_type: "llama3", factor: 8 } }],
    [
      "rope_parameters.low_freq_factor",
      {
        rope_parameters: {
          ...{ rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 },
        },
      },
    ],
    ["rope_parameters.full_attention", { rope_parameters: { full_attention: { rope_theta: 1 } } }],
  ])("config_invalid: %s of %j", (field, change) => {
    const isFields = typeof change === "object" && change !== null && !Array.isArray(change);
    const config = isFields ? { model_type: "llama", ...SIZES, ...change } : change;
    expect(refusal(config, field)).toBe("config_invalid");
  });

  it.each<[field: string, config: HfConfig]>([
    ["bert", { model_type: "bert" }],
    ["model_type", { model_type: undefined }],
    ["constructor", { model_type: "constructor" }],
    ["hidden_act", { hidden_act: "relu" }],
    ["quantization_config", { quantization_config: { bits: 4 } }],
    ["rope_scaling.rope_type", { rope_scaling: { rope_type: "yarn", factor: 4 } }],
    ["rope_scaling.type", { rope_scaling: { type: "dynamic", factor: 4 } }],
    ["partial_rotary_factor", { partial_rotary_factor: 0.5 }],
    ["partial_rotary_factor", { rope_parameters: { partial_rotary_factor: 0.5 } }],
    ["8 to 256", { head_dim: 6 }],
    ["8 to 256", { head_dim: 4 }],
    ["8 to 256", { head_dim: 260 }],
    ["65,535", { hidden_size: 131_072, num_attention_heads: 131_072, head_dim: 8 }],
  ])("model_unsupported: %s of %j", (field, change) => {
    expect(refusal({ model_type: "llama", ...SIZES, ...change }, field)).toBe("model_unsupported");
  });

  it("holds for the fields of the other families too", () => {
    const gemma = { ...SIZES, model_type: "gemma3_text" };
    const flat = { rope_parameters: { rope_theta: 1e6, rope_type: "default" } };
    expect(refusal({ ...gemma, ...flat }, "rope_parameters")).toBe("config_invalid");
    const types = { layer_types: ["full_attention"] };
    expect(refusal({ ...gemma, ...types }, "layer_types")).toBe("config_invalid");
    const windowless = {
      layer_types: ["full_attention", "sliding_attention"],
      sliding_window: null,
    };
    expect(refusal({ ...gemma, ...windowless }, "sliding_window")).toBe("config_invalid");
    const bidirectional = { use_bidirectional_attention: true };
    expect(refusal({ ...gemma, ...bidirectional }, "bidirectional")).toBe("model_unsupported");
    const gpt2 = { model_type: "gpt2" };
    expect(refusal({ ...gpt2, n_embd: 100 }, "n_embd")).toBe("config_invalid");
    for (const field of ["add_cross_attention", "scale_attn_by_inverse_layer_idx"])
      expect(refusal({ ...gpt2, [field]: true }, field)).toBe("model_unsupported");
    expect(refusal({ ...gpt2, activation_function: "gelu" }, "gelu")).toBe("model_unsupported");
  });
});

const size = (most: number): fc.Arbitrary<number> => fc.integer({ min: 1, max: most });
/** Mostly nothing: a family that cannot say one of these must come by without all of them. */
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary: fc.constant(undefined), weight: 4 }, value);
const theta = fc.constantFrom(1e4, 5e5, 1e6, 12_345.5);
const ropes = fc.oneof(
  fc.record({ theta }),
  fc.record({
    theta,
    scaling: fc.record({ kind: fc.constant("linear" as const), factor: fc.constantFrom(2, 8.5) }),
  }),
  fc.record({
    theta,
    scaling: fc.record({
      ...{ kind: fc.constant("llama3" as const), factor: fc.constantFrom(8, 32) },
      ...{ lowFrequencyFactor: fc.constant(1), highFrequencyFactor: fc.constantFrom(4, 8) },
      originalContext: size(9000),
    }),
  }),
);

/** What a model may be made with in any family. */
const plainOptions = fc.record({
  ...{ vocab: size(300), layers: size(4), mlpWidth: size(100), maxDepth: size(5000) },
  heads: fc.constantFrom(1, 2, 4),
  headDim: fc.constantFrom(8, 12, 16),
  ...{ normEps: fc.constantFrom(1e-5, 1e-6), initStd: fc.constantFrom(0.02, 0.1) },
  isTied: fc.boolean(),
});

/** What only some families can say. */
const extraOptions = fc.record({
  kvHeads: maybe(fc.constantFrom(1, 2)),
  rope: maybe(ropes),
  window: maybe(size(40)),
  hasQkvBias: maybe(fc.boolean()),
  hasMlpBias: maybe(fc.boolean()),
  attentionScale: maybe(fc.constantFrom(0.25, 24 ** -0.5, 1 / 3)),
  attentionSoftcap: maybe(fc.constantFrom(5, 50)),
  logitSoftcap: maybe(fc.constantFrom(3, 30)),
  layerAttention: maybe(fc.array(fc.record({ window: fc.constantFrom(0, 7) }), { maxLength: 4 })),
});

it("a softcap of 30 is written as 30.0: the original library takes no integer for it", () => {
  const config = modelConfig("gemma2", {
    ...{ vocab: 96, layers: 1, width: 32, heads: 2, headDim: 16 },
    ...{ logitSoftcap: 30, attentionSoftcap: 12.5, normEps: 1e-6, rope: { theta: 1e6 } },
  });
  const text = configText({ ...config, note: 'rms_norm_eps": 3' });
  expect(JSON.parse(text)).toEqual({ ...config, note: 'rms_norm_eps": 3' });
  for (const line of ['"final_logit_softcapping": 30.0,', '"attn_logit_softcapping": 12.5,'])
    expect(text).toContain(line);
  for (const line of ['"rope_theta": 1000000.0,', '"vocab_size": 96,', '"rms_norm_eps": 0.000001,'])
    expect(text).toContain(line);
});

describe("modelConfig, modelOptions and createModel", () => {
  it("a model is read back as it was made, or it is not made: 2,000 random ones", () => {
    const made = new Map<string, number>();
    fc.assert(
      fc.property(
        fc.constantFrom(...families),
        plainOptions,
        extraOptions,
        (family, plain, more) => {
          const given = Object.fromEntries(Object.entries(more).filter(([, v]) => v !== undefined));
          const width = plain.heads * plain.headDim;
          const asked = { family, ...plain, ...given, width, init: () => 0 } as ModelConfig;
          try {
            const { config, options } = createModel(asked);
            const { init, ...sizes } = options;
            const text = JSON.parse(JSON.stringify(config)) as HfConfig;
            expect(modelOptions(text)).toEqual({ family, options: sizes });
            const { headDim = width / plain.heads } = sizes;
            expect({ ...sizes, headDim }).toMatchObject({ ...plain, width });
            if (asked.rope && sizes.position !== "learned") expect(sizes.rope).toEqual(asked.rope);
            const { attentionSoftcap, logitSoftcap, hasMlpBias } = asked;
            expect(sizes.attentionSoftcap).toBe(attentionSoftcap);
            expect(sizes.logitSoftcap).toBe(logitSoftcap);
            if (hasMlpBias) expect(sizes.hasMlpBias ?? sizes.hasBias).toBe(true);
            made.set(family, (made.get(family) ?? 0) + 1);
          } catch (error) {
            if (!(error instanceof ForgeError)) throw error;
            expect(["argument_invalid", "config_invalid", "model_unsupported"]).toContain(
              error.code,
            );
          }
        },
      ),
      { numRuns: 2000, seed: 3 },
    );
    for (const family of families) expect(made.get(family), family).toBeGreaterThan(5);
  });

  it.each<[option: string, asked: Partial<ModelConfig>]>([
    ["logitSoftcap", { logitSoftcap: 30 }],
    ["attentionScale", { attentionScale: 0.3 }],
    ["window", { window: 8 }],
    ["window", { layerAttention: [{ window: 8 }] }],
    ["rope", { rope: { isInterleaved: true } }],
    ["rope", { layerAttention: [{ rope: { theta: 5 } }] }],
    ["hasHeadNorms", { hasHeadNorms: true }],
    ["mlp", { mlp: "gelu" }],
    ["norm", { norm: "layer" }],
    ["hasQkvBias", { family: "gpt2", hasBias: false }],
    ["kvHeads", { family: "gpt2", kvHeads: 2 }],
    ["headDim", { family: "gpt2", headDim: 16 }],
    ["hasQkvBias", { family: "qwen2", hasQkvBias: false }],
    ["window", { family: "gemma2", layerAttention: [{ window: 4 }, { window: 8 }] }],
    ["normOffset", { family: "gemma2", normOffset: 0 }],
    ["hasOutputBias", { hasQkvBias: true, hasOutputBias: false }],
  ])("createModel refuses what config.json cannot say: %s in %j", (option, asked) => {
    const make = (): unknown =>
      createModel({ vocab: 96, layers: 2, width: 32, heads: 4, init: () => 0, ...asked });
    expect(codeOf(make)).toBe("argument_invalid");
    expect(make).toThrow(`"${option}"`);
  });

  it("createModel takes what says the same in other words", () => {
    const sizes = { vocab: 96, layers: 2, width: 32, heads: 4, init: () => 0 } as const;
    const same: Partial<ModelConfig>[] = [
      { attentionScale: 8 ** -0.5, embeddingScale: 1, window: 0 },
      { kvHeads: 4, headDim: 8, rope: { rotaryDim: 8, scale: 1 }, hasBias: false },
      { family: "qwen3", window: 8 },
      { family: "gemma3_text", layerAttention: [{ window: 8, rope: { theta: 1e4 } }] },
      { family: "gpt2", hasBias: true, norm: "layer" },
    ];
    for (const asked of same) expect(() => createModel({ ...sizes, ...asked })).not.toThrow();
  });

  it("createModel refuses what does not fit together, and families that there are not", () => {
    const make = (asked: Partial<ModelConfig>) => (): unknown =>
      createModel({ vocab: 96, layers: 2, width: 32, heads: 4, init: () => 0, ...asked });
    expect(codeOf(make({ heads: 3 }))).toBe("config_invalid");
    expect(codeOf(make({ heads: 8 }))).toBe("model_unsupported");
    expect(codeOf(make({ layers: 0 }))).toBe("config_invalid");
    expect(codeOf(make({ family: "bert" as FamilyName }))).toBe("model_unsupported");
    expect(codeOf(() => modelConfig("bert" as FamilyName, { ...SIZES } as never))).toBe(
      "model_unsupported",
    );
  });
});
