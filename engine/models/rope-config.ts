/** Rotary embeddings in a config.json. */
import type { RopeOptions } from "../ops/rope.ts";
import type { RopeScaling } from "../ops/rope-frequencies.ts";
import type { ConfigReader, HfConfig } from "./config.ts";

/**
 * The rotary embedding of a model: `rope_scaling`, else `rope_parameters`, with `rope_theta` in it or beside it.
 *
 * Source    `convert_rope_params_to_dict` of Hugging Face transformers, modeling_rope_utils.py.
 */
export function readRope(c: ConfigReader): RopeOptions {
  const key = isEmpty(c.part("rope_scaling")) ? "rope_parameters" : "rope_scaling";
  const own = c.part(key);
  const nested = Object.keys(own.config).find((name) => typeof own.config[name] === "object");
  if (nested !== undefined) throw own.invalid(nested, "all layers of this family rotate alike");
  c.allow("partial_rotary_factor", 1);
  return readRopePart(own, c.positive("rope_theta", 10_000), contextOf(c));
}

/** Context that a model was trained on before it was stretched. */
export function contextOf(c: ConfigReader): number {
  const key = "original_max_position_embeddings";
  return c.size(c.has(key) ? key : "max_position_embeddings", 2048);
}

/** One rotation; `theta` and `context` where it does not say its own. */
export function readRopePart(own: ConfigReader, theta: number, context: number): RopeOptions {
  own.allow("partial_rotary_factor", 1);
  const scaling = readScaling(own, context);
  return { theta: own.positive("rope_theta", theta), ...(scaling ? { scaling } : {}) };
}

function readScaling(own: ConfigReader, context: number): RopeScaling | undefined {
  const key = own.has("rope_type") ? "rope_type" : "type";
  own.allow(key, "default", "linear", "llama3");
  const kind = own.config[key] ?? "default";
  if (kind === "default") return undefined;
  const factor = own.positive("factor");
  if (kind === "linear") return { kind, factor };
  const scaling = {
    kind: "llama3",
    factor,
    lowFrequencyFactor: own.positive("low_freq_factor"),
    highFrequencyFactor: own.positive("high_freq_factor"),
    originalContext: own.size("original_max_position_embeddings", context),
  } as const;
  if (scaling.lowFrequencyFactor < scaling.highFrequencyFactor) return scaling;
  throw own.invalid("low_freq_factor", "it must be less than high_freq_factor");
}

function isEmpty({ config }: ConfigReader): boolean {
  return Object.keys(config).length === 0;
}

/** A rotary embedding as `rope_parameters` has it. */
export function writeRope({ theta = 10_000, scaling }: RopeOptions = {}): HfConfig {
  const own = { rope_theta: theta, rope_type: scaling?.kind ?? "default" };
  if (!scaling) return own;
  if (scaling.kind === "linear") return { ...own, factor: scaling.factor };
  return {
    ...own,
    factor: scaling.factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalContext,
  };
}
