/**
 * The families of language models that this engine runs: how each differs from Llama, what its config.json says, and what
 * its tensors are called. A new one is an entry here and a name map in names.ts.
 *
 * Source    `configuration_*.py` and `modeling_*.py` of Hugging Face transformers 5.23, for defaults too.
 */
import { ForgeError } from "../error.ts";
import type { LayerAttention, TransformerOptions } from "../nn/transformer.ts";
import { ConfigReader, configInvalid, type HfConfig, ropeParameters } from "./config.ts";
import { GEMMA_NAMES, GPT2_NAMES, LLAMA_NAMES, type NameMap } from "./names.ts";

/** Names of families: `model_type` of their config.json. */
export type FamilyName =
  | "llama"
  | "mistral"
  | "qwen2"
  | "qwen3"
  | "gemma2"
  | "gemma3_text"
  | "gpt2";

/** One family. */
export interface Family {
  /** Class of the original library, as in `architectures`. */
  readonly architecture: string;
  /** What every model of the family has that Llama has not. */
  readonly traits: Partial<TransformerOptions>;
  readonly names: NameMap;
  /** The options that a config.json asks for, beyond the traits. */
  readonly read: (config: ConfigReader) => TransformerOptions;
  /** Fields of a config.json for the options. */
  readonly write: (options: TransformerOptions) => HfConfig;
}

function commonSizes(c: ConfigReader, headDim?: number): TransformerOptions {
  const [width, heads] = [c.size("hidden_size"), c.size("num_attention_heads")];
  return {
    vocab: c.size("vocab_size"),
    layers: c.size("num_hidden_layers"),
    width,
    heads,
    kvHeads: c.size("num_key_value_heads", heads),
    headDim: c.size("head_dim", headDim ?? width / heads),
    mlpWidth: c.size("intermediate_size"),
    maxDepth: c.size("max_position_embeddings", 2048),
    normEps: c.positive("rms_norm_eps", 1e-6),
    initStd: c.positive("initializer_range", 0.02),
  };
}

function readLlama(c: ConfigReader, headDim?: number): TransformerOptions {
  c.refuse("hidden_act", (v) => v === "silu");
  return {
    ...commonSizes(c, headDim),
    isTied: c.flag("tie_word_embeddings", false),
    rope: c.rope(),
  };
}

function writeCommon(o: TransformerOptions): HfConfig {
  const headDim = o.headDim ?? o.width / o.heads;
  return {
    vocab_size: o.vocab,
    num_hidden_layers: o.layers,
    hidden_size: o.width,
    num_attention_heads: o.heads,
    num_key_value_heads: o.kvHeads ?? o.heads,
    head_dim: headDim,
    intermediate_size: o.mlpWidth ?? 4 * o.width,
    max_position_embeddings: o.maxDepth ?? 2048,
    rms_norm_eps: o.normEps ?? 1e-5,
    initializer_range: o.initStd ?? 0.02,
    tie_word_embeddings: o.isTied ?? true,
  };
}

function writeLlama(o: TransformerOptions): HfConfig {
  return { ...writeCommon(o), hidden_act: "silu", rope_parameters: ropeParameters(o.rope ?? {}) };
}

/** Layers that see a window, where the config gives one, as `layer_types` has it or else `isSliding`. */
function windows(
  c: ConfigReader,
  window: number,
  layers: number,
  isSliding: (layer: number) => boolean,
): readonly LayerAttention[] {
  const types = c.layerTypes(layers) ?? Array.from({ length: layers }, (_, i) => isSliding(i));
  return types.map((isWindowed) => ({ window: isWindowed ? window : 0 }));
}

function layerTypes(o: TransformerOptions): HfConfig {
  const types = Array.from({ length: o.layers }, (_, i) =>
    (o.layerAttention?.[i]?.window ?? o.window ?? 0) > 0 ? "sliding_attention" : "full_attention",
  );
  const window = Math.max(o.window ?? 0, ...(o.layerAttention ?? []).map((l) => l.window ?? 0));
  return { layer_types: types, sliding_window: window > 0 ? window : null };
}

/** What Gemma 2 and 3 share. */
function readGemma(c: ConfigReader): TransformerOptions {
  for (const key of ["hidden_activation", "hidden_act"])
    c.refuse(key, (v) => v === "gelu_pytorch_tanh" || (key === "hidden_act" && v === "gelu"));
  c.refuse("use_bidirectional_attention", (v) => v === false);
  const sizes = commonSizes(c, 256);
  return {
    ...sizes,
    isTied: c.flag("tie_word_embeddings", true),
    hasQkvBias: c.flag("attention_bias", false),
    hasOutputBias: c.flag("attention_bias", false),
    attentionScale: c.positive("query_pre_attn_scalar", 256) ** -0.5,
    embeddingScale: Math.sqrt(sizes.width),
  };
}

function writeGemma(o: TransformerOptions): HfConfig {
  const headDim = o.headDim ?? o.width / o.heads;
  const scalar = (o.attentionScale ?? headDim ** -0.5) ** -2;
  return {
    ...writeCommon(o),
    ...layerTypes(o),
    hidden_activation: "gelu_pytorch_tanh",
    attention_bias: o.hasQkvBias ?? false,
    // −½ and −2 are not exact inverses in floating point
    query_pre_attn_scalar:
      Math.abs(scalar - Math.round(scalar)) < 1e-9 ? Math.round(scalar) : scalar,
    attn_logit_softcapping: o.attentionSoftcap ?? null,
    final_logit_softcapping: o.logitSoftcap ?? null,
  };
}

function softcaps(
  c: ConfigReader,
  attention?: number,
  logits?: number,
): Partial<TransformerOptions> {
  const cap = (key: string, fallback?: number): number | undefined =>
    c.config[key] === null || (c.config[key] === undefined && !fallback)
      ? undefined
      : c.positive(key, fallback);
  const attentionSoftcap = cap("attn_logit_softcapping", attention);
  const logitSoftcap = cap("final_logit_softcapping", logits);
  return {
    ...(attentionSoftcap ? { attentionSoftcap } : {}),
    ...(logitSoftcap ? { logitSoftcap } : {}),
  };
}

const GEMMA_TRAITS: Partial<TransformerOptions> = {
  mlp: "geglu",
  normOffset: 1,
  hasPostNorms: true,
};

/** The table. */
export const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  // SmolLM2 says `llama` too.
  llama: {
    architecture: "LlamaForCausalLM",
    traits: {},
    names: LLAMA_NAMES,
    read: (c) => ({
      ...readLlama(c),
      hasQkvBias: c.flag("attention_bias", false),
      hasOutputBias: c.flag("attention_bias", false),
      hasMlpBias: c.flag("mlp_bias", false),
    }),
    write: (o) => ({
      ...writeLlama(o),
      attention_bias: o.hasQkvBias ?? o.hasBias ?? false,
      mlp_bias: o.hasMlpBias ?? o.hasBias ?? false,
    }),
  },
  mistral: {
    architecture: "MistralForCausalLM",
    traits: {},
    names: LLAMA_NAMES,
    read: (c) => ({
      ...readLlama(c),
      ...(c.has("sliding_window") ? { window: c.size("sliding_window") } : {}),
    }),
    write: (o) => ({ ...writeLlama(o), sliding_window: o.window ?? null }),
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    traits: { hasQkvBias: true, hasOutputBias: false },
    names: LLAMA_NAMES,
    read: readQwen,
    write: writeQwen,
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    traits: { hasHeadNorms: true },
    names: LLAMA_NAMES,
    read: (c) => ({
      ...readQwen(c, 128),
      hasQkvBias: c.flag("attention_bias", false),
      hasOutputBias: c.flag("attention_bias", false),
    }),
    write: (o) => ({ ...writeQwen(o), attention_bias: o.hasQkvBias ?? o.hasBias ?? false }),
  },
  gemma2: {
    architecture: "Gemma2ForCausalLM",
    traits: GEMMA_TRAITS,
    names: GEMMA_NAMES,
    read: (c) => {
      const options = readGemma(c);
      const window = c.size("sliding_window", 4096);
      return {
        ...options,
        ...softcaps(c, 50, 30),
        rope: c.rope(),
        layerAttention: windows(c, window, options.layers, (i) => i % 2 === 0),
      };
    },
    write: (o) => ({ ...writeGemma(o), rope_parameters: ropeParameters(o.rope ?? {}) }),
  },
  gemma3_text: {
    architecture: "Gemma3ForCausalLM",
    traits: { ...GEMMA_TRAITS, hasHeadNorms: true },
    names: GEMMA_NAMES,
    read: readGemma3,
    write: (o) => {
      const local = o.layerAttention?.find((l) => l.rope)?.rope ?? o.rope ?? {};
      return {
        ...writeGemma(o),
        rope_parameters: {
          full_attention: ropeParameters(o.rope ?? { theta: 1e6 }),
          sliding_attention: ropeParameters(local),
        },
      };
    },
  },
  gpt2: {
    architecture: "GPT2LMHeadModel",
    traits: { norm: "layer", mlp: "gelu", position: "learned", hasBias: true },
    names: GPT2_NAMES,
    read: readGpt2,
    write: (o) => ({
      vocab_size: o.vocab,
      n_layer: o.layers,
      n_embd: o.width,
      n_head: o.heads,
      n_inner: o.mlpWidth ?? 4 * o.width,
      n_positions: o.maxDepth,
      layer_norm_epsilon: o.normEps ?? 1e-5,
      initializer_range: o.initStd ?? 0.02,
      activation_function: "gelu_new",
      tie_word_embeddings: o.isTied ?? true,
    }),
  },
};

function readQwen(c: ConfigReader, headDim?: number): TransformerOptions {
  const options = readLlama(c, headDim);
  if (!c.flag("use_sliding_window", false) || !c.has("sliding_window")) return options;
  const first = c.has("max_window_layers") ? c.size("max_window_layers") : 28;
  return {
    ...options,
    layerAttention: windows(c, c.size("sliding_window"), options.layers, (i) => i >= first),
  };
}

function writeQwen(o: TransformerOptions): HfConfig {
  const types = layerTypes(o);
  return { ...writeLlama(o), ...types, use_sliding_window: types["sliding_window"] !== null };
}

function readGemma3(c: ConfigReader): TransformerOptions {
  const options = readGemma(c);
  const period = c.size(
    c.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern",
    6,
  );
  const window = c.size("sliding_window", 4096);
  const types = windows(c, window, options.layers, (i) => (i + 1) % period !== 0);
  const local = c.has("rope_parameters")
    ? c.rope(10_000, "sliding_attention")
    : { theta: c.positive("rope_local_base_freq", 10_000) };
  return {
    ...options,
    ...softcaps(c),
    rope: c.rope(1e6, "full_attention"),
    layerAttention: types.map((l) => (l.window ? { ...l, rope: local } : l)),
  };
}

function readGpt2(c: ConfigReader): TransformerOptions {
  c.refuse("activation_function", (v) => v === "gelu_new" || v === "gelu_pytorch_tanh");
  c.refuse("scale_attn_by_inverse_layer_idx", (v) => v === false);
  c.refuse("scale_attn_weights", (v) => v === true);
  const width = c.size("n_embd", 768);
  return {
    vocab: c.size("vocab_size", 50257),
    layers: c.size("n_layer", 12),
    width,
    heads: c.size("n_head", 12),
    mlpWidth: c.has("n_inner") ? c.size("n_inner") : 4 * width,
    maxDepth: c.size("n_positions", 1024),
    normEps: c.positive("layer_norm_epsilon", 1e-5),
    initStd: c.positive("initializer_range", 0.02),
    isTied: c.flag("tie_word_embeddings", true),
  };
}

/**
 * Family and options that a config.json asks for.
 *
 * Errors    `config_invalid`, naming the field; `model_unsupported` for a family that is not in the table.
 */
export function modelOptions(config: HfConfig): {
  family: FamilyName;
  options: TransformerOptions;
} {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw configInvalid("", config, "it is an object", "pass the parsed config.json");
  const name = config["model_type"];
  const family =
    typeof name === "string" && Object.hasOwn(FAMILIES, name) && FAMILIES[name as FamilyName];
  if (!family) {
    throw new ForgeError({
      code: "model_unsupported",
      what: "config.json: there is no such family of models here.",
      got: `model_type ${JSON.stringify(name)}`,
      fix: `use a checkpoint of ${Object.keys(FAMILIES).join(", ")}; or add a family to engine/models/families.ts`,
    });
  }
  const options = { ...family.traits, ...family.read(new ConfigReader(config)) };
  return { family: name as FamilyName, options };
}

/** The config.json of a model: `modelOptions` of it gives the options again. */
export function modelConfig(family: FamilyName, options: TransformerOptions): HfConfig {
  const { architecture, write } = FAMILIES[family];
  return {
    architectures: [architecture],
    model_type: family,
    ...write(options),
    dtype: "float32",
  };
}
