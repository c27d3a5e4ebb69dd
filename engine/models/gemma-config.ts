/** config.json of Gemma 2 and the text models of Gemma 3. */
import type { TransformerOptions } from "../nn/transformer.ts";
import type { RopeOptions } from "../ops/rope.ts";
import { ConfigReader, type HfConfig } from "./config.ts";
import { checkFilled, readSizes, readWindows, writeSizes, writeWindows } from "./llama-config.ts";
import { contextOf, readRope, readRopePart, writeRope } from "./rope-config.ts";

/** Two layers in a row of Gemma 3 that see everything are this far apart. */
const GEMMA3_PERIOD = 6;
/** Bases of Gemma 3's rotations, in layers that see everything and in those with a window. */
const GEMMA3_THETA = { full: 1e6, local: 1e4 };

export function readGemma2(c: ConfigReader): TransformerOptions {
  const options = readGemma(c, 8192);
  return {
    ...options,
    ...softcaps(c, 50, 30),
    rope: readRope(c),
    layerAttention: readWindows(c, options.layers, (i) => i % 2 === 0),
  };
}

export function writeGemma2(o: TransformerOptions): HfConfig {
  return { ...writeGemma(o), rope_parameters: writeRope(o.rope) };
}

export function readGemma3(c: ConfigReader): TransformerOptions {
  const options = readGemma(c, 131_072);
  const period = c.size("sliding_window_pattern", GEMMA3_PERIOD);
  const windows = readWindows(c, options.layers, (i) => (i + 1) % period !== 0);
  const { full, local } = readRotations(c);
  return {
    ...options,
    ...softcaps(c),
    rope: full,
    layerAttention: windows.map((l) => (l.window ? { ...l, rope: local } : l)),
  };
}

export function writeGemma3(o: TransformerOptions): HfConfig {
  const full = o.rope ?? { theta: GEMMA3_THETA.full };
  const local = o.layerAttention?.find((l) => l.window && l.rope)?.rope ?? full;
  return {
    ...writeGemma(o),
    rope_parameters: { full_attention: writeRope(full), sliding_attention: writeRope(local) },
  };
}

/** What the two have in common. */
function readGemma(c: ConfigReader, maxDepth: number): TransformerOptions {
  c.allow("hidden_activation", "gelu_pytorch_tanh", "gelu_new");
  c.allow("use_bidirectional_attention", false);
  const sizes = readSizes(c, { kvHeads: 4, headDim: 256, maxDepth });
  checkFilled(c, sizes);
  const hasBias = c.flag("attention_bias", false);
  return {
    ...sizes,
    isTied: c.flag("tie_word_embeddings", true),
    hasQkvBias: hasBias,
    hasOutputBias: hasBias,
    attentionScale: c.size("query_pre_attn_scalar", 256) ** -0.5,
    embeddingScale: Math.sqrt(sizes.width),
  };
}

function writeGemma(o: TransformerOptions): HfConfig {
  const headDim = o.headDim ?? o.width / o.heads;
  const scalar = (o.attentionScale ?? headDim ** -0.5) ** -2;
  const whole = Math.round(scalar); // the powers −½ and −2 are no exact inverses in floating point
  return {
    ...writeSizes(o),
    ...writeWindows(o),
    hidden_activation: "gelu_pytorch_tanh",
    attention_bias: o.hasQkvBias ?? o.hasBias ?? false,
    query_pre_attn_scalar: Math.abs(scalar - whole) < 1e-9 * whole ? whole : scalar,
    attn_logit_softcapping: o.attentionSoftcap ?? null,
    final_logit_softcapping: o.logitSoftcap ?? null,
  };
}

/** Softcaps, with those of the family where the config is silent; here `null` is not silence: it says that there is none. */
function softcaps(
  c: ConfigReader,
  attention?: number,
  logits?: number,
): Partial<TransformerOptions> {
  const cap = (key: string, fallback?: number): number | undefined =>
    c.isNull(key) || (fallback === undefined && !c.has(key))
      ? undefined
      : c.positive(key, fallback);
  const attentionSoftcap = cap("attn_logit_softcapping", attention);
  const logitSoftcap = cap("final_logit_softcapping", logits);
  return {
    ...(attentionSoftcap ? { attentionSoftcap } : {}),
    ...(logitSoftcap ? { logitSoftcap } : {}),
  };
}

/** `rope_parameters` for both kinds of layers; old files have `rope_scaling` for the first, and two bases. */
function readRotations(c: ConfigReader): { full: RopeOptions; local: RopeOptions } {
  const both = c.part("rope_parameters");
  if (both.has("rope_theta") || both.has("rope_type")) {
    throw c.invalid("rope_parameters", "it must have full_attention and sliding_attention");
  }
  const [own, scaling] = [both.part("full_attention"), c.part("rope_scaling")];
  const full = new ConfigReader({ ...own.config, ...scaling.config }, "rope_parameters.");
  const { full: theta, local } = GEMMA3_THETA;
  return {
    full: readRopePart(full, c.positive("rope_theta", theta), contextOf(c)),
    local: readRopePart(
      both.part("sliding_attention"),
      c.positive("rope_local_base_freq", local),
      contextOf(c),
    ),
  };
}
