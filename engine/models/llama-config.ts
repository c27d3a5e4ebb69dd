/** config.json of Llama, Mistral and Qwen. */
import type { LayerAttention, TransformerOptions } from "../nn/transformer.ts";
import type { ConfigReader, HfConfig } from "./config.ts";
import { readRope, writeRope } from "./rope-config.ts";

/** What a family takes for a field that its config.json does not have. */
export interface SizeDefaults {
  /** Default: as many as heads of queries; so where the field is `null`. */
  readonly kvHeads?: number;
  /** Default: width / heads. */
  readonly headDim?: number;
  readonly maxDepth: number;
}

/** Sizes, under the names that all families but GPT-2 use. */
export function readSizes(c: ConfigReader, defaults: SizeDefaults): TransformerOptions {
  const [width, heads] = [c.size("hidden_size"), c.size("num_attention_heads")];
  const { kvHeads = heads, headDim = width / heads, maxDepth } = defaults;
  if (!Number.isInteger(headDim) && !c.has("head_dim")) checkFilled(c, { width, heads });
  return {
    vocab: c.size("vocab_size"),
    layers: c.size("num_hidden_layers"),
    width,
    heads,
    kvHeads: c.size("num_key_value_heads", c.isNull("num_key_value_heads") ? heads : kvHeads),
    headDim: c.size("head_dim", headDim),
    mlpWidth: c.size("intermediate_size"),
    maxDepth: c.size("max_position_embeddings", maxDepth),
    normEps: c.positive("rms_norm_eps", 1e-6),
    initStd: c.deviation("initializer_range", 0.02),
  };
}

/** Llama and Gemma demand this even where `head_dim` says how large heads are. */
export function checkFilled(
  c: ConfigReader,
  { width, heads }: Pick<TransformerOptions, "width" | "heads">,
): void {
  if (width % heads === 0) return;
  throw c.invalid("hidden_size", `it must be a multiple of ${heads}, the number of heads`);
}

/** The inverse of {@link readSizes}. */
export function writeSizes(o: TransformerOptions): HfConfig {
  return {
    vocab_size: o.vocab,
    num_hidden_layers: o.layers,
    hidden_size: o.width,
    num_attention_heads: o.heads,
    num_key_value_heads: o.kvHeads ?? o.heads,
    head_dim: o.headDim ?? o.width / o.heads,
    intermediate_size: o.mlpWidth ?? 4 * o.width,
    max_position_embeddings: o.maxDepth ?? 2048,
    rms_norm_eps: o.normEps ?? 1e-5,
    initializer_range: o.initStd ?? 0.02,
    tie_word_embeddings: o.isTied ?? true,
  };
}

function readCommon(c: ConfigReader, defaults: SizeDefaults): TransformerOptions {
  c.allow("hidden_act", "silu", "swish");
  return {
    ...readSizes(c, defaults),
    isTied: c.flag("tie_word_embeddings", false),
    rope: readRope(c),
  };
}

function writeCommon(o: TransformerOptions): HfConfig {
  return { ...writeSizes(o), hidden_act: "silu", rope_parameters: writeRope(o.rope) };
}

export function readLlama(c: ConfigReader): TransformerOptions {
  const options = readCommon(c, { maxDepth: 2048 });
  checkFilled(c, options);
  const hasBias = c.flag("attention_bias", false);
  return {
    ...options,
    hasQkvBias: hasBias,
    hasOutputBias: hasBias,
    hasMlpBias: c.flag("mlp_bias", false),
  };
}

export function writeLlama(o: TransformerOptions): HfConfig {
  return {
    ...writeCommon(o),
    attention_bias: o.hasQkvBias ?? o.hasBias ?? false,
    mlp_bias: o.hasMlpBias ?? o.hasBias ?? false,
  };
}

export function readMistral(c: ConfigReader): TransformerOptions {
  const options = readCommon(c, { kvHeads: 8, maxDepth: 131_072 });
  if (c.isNull("sliding_window")) return options;
  return { ...options, window: c.size("sliding_window", 4096) };
}

export function writeMistral(o: TransformerOptions): HfConfig {
  return { ...writeCommon(o), sliding_window: o.window || null };
}

export function readQwen2(c: ConfigReader): TransformerOptions {
  return readQwen(c, {});
}

export function writeQwen2(o: TransformerOptions): HfConfig {
  const layers = writeWindows(o);
  return { ...writeCommon(o), ...layers, use_sliding_window: layers["sliding_window"] !== null };
}

export function readQwen3(c: ConfigReader): TransformerOptions {
  const hasBias = c.flag("attention_bias", false);
  return { ...readQwen(c, { headDim: 128 }), hasQkvBias: hasBias, hasOutputBias: hasBias };
}

export function writeQwen3(o: TransformerOptions): HfConfig {
  return { ...writeQwen2(o), attention_bias: o.hasQkvBias ?? o.hasBias ?? false };
}

function readQwen(c: ConfigReader, { headDim }: { headDim?: number }): TransformerOptions {
  const sizes = { kvHeads: 32, maxDepth: 32_768, ...(headDim ? { headDim } : {}) };
  const options = readCommon(c, sizes);
  if (!c.flag("use_sliding_window", false) || c.isNull("sliding_window")) return options;
  const first = c.size("max_window_layers", 28, 0);
  return { ...options, layerAttention: readWindows(c, options.layers, (i) => i >= first) };
}

/** The window of each layer, 0 for none: `layer_types` has those with one, else `isWindowed` does. */
export function readWindows(
  c: ConfigReader,
  layers: number,
  isWindowed: (layer: number) => boolean,
): readonly LayerAttention[] {
  const types = c.layerTypes(layers) ?? Array.from({ length: layers }, (_, i) => isWindowed(i));
  if (!types.includes(true)) return types.map(() => ({ window: 0 }));
  if (c.isNull("sliding_window")) throw c.invalid("sliding_window", "some layers see one");
  const window = c.size("sliding_window", 4096);
  return types.map((has) => ({ window: has ? window : 0 }));
}

/** The inverse of {@link readWindows}, for windows of one size. */
export function writeWindows(o: TransformerOptions): HfConfig {
  const windows = Array.from(
    { length: o.layers },
    (_, i) => o.layerAttention?.[i]?.window ?? o.window ?? 0,
  );
  const window = Math.max(...windows);
  return {
    layer_types: windows.map((w) => (w > 0 ? "sliding_attention" : "full_attention")),
    sliding_window: window > 0 ? window : null,
  };
}
