/** Fields of a Hugging Face config.json, checked as they are read. */
import { ForgeError } from "../error.ts";
import type { RopeOptions } from "../ops/rope.ts";
import type { RopeScaling } from "../ops/rope-frequencies.ts";

/** A config.json as parsed. */
export type HfConfig = Readonly<Record<string, unknown>>;

/** What a config.json holds that this engine cannot run, or that makes no sense. */
export function configInvalid(field: string, got: unknown, why: string, fix: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: `config.json: "${field}" cannot be used.`,
    got: JSON.stringify(got) ?? "nothing",
    why,
    fix,
  });
}

/** Reads fields; `null` counts as absent, as it does in the original library. */
export class ConfigReader {
  readonly config: HfConfig;

  constructor(config: HfConfig) {
    this.config = config;
  }

  has(key: string): boolean {
    return this.config[key] !== undefined && this.config[key] !== null;
  }

  /** A positive integer. */
  size(key: string, fallback?: number): number {
    return this.#read(
      key,
      fallback,
      (v) => Number.isSafeInteger(v) && (v as number) > 0,
      "a positive integer",
    );
  }

  /** A positive number. */
  positive(key: string, fallback?: number): number {
    return this.#read(
      key,
      fallback,
      (v) => Number.isFinite(v) && (v as number) > 0,
      "a positive number",
    );
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#read(key, fallback, (v) => typeof v === "boolean", "true or false");
  }

  /** One of a few words, or absent. */
  word<W extends string>(key: string, words: readonly W[], fallback: W): W {
    const isWord = (v: unknown): boolean => words.includes(v as W);
    return this.#read(key, fallback, isWord, `one of ${words.join(", ")}`);
  }

  /** Refuses a field that changes the model in a way that is not built. */
  refuse(key: string, isFine: (value: unknown) => boolean): void {
    if (!this.has(key) || isFine(this.config[key])) return;
    throw configInvalid(key, this.config[key], "it is not built", "use another checkpoint");
  }

  /** Which layers see a window only; undefined where the config does not say. */
  layerTypes(layers: number): readonly boolean[] | undefined {
    const types = this.config["layer_types"];
    if (types === undefined || types === null) return undefined;
    const isKnown = (t: unknown): boolean => t === "sliding_attention" || t === "full_attention";
    if (!Array.isArray(types) || types.length !== layers || !types.every(isKnown)) {
      const why = "it has full_attention or sliding_attention for each layer";
      throw configInvalid("layer_types", types, why, "correct the field");
    }
    return types.map((t) => t === "sliding_attention");
  }

  /**
   * Rotary embedding, from `rope_parameters` (of all layers, or of `kind`), else from `rope_theta` and `rope_scaling`.
   */
  rope(theta = 10_000, kind?: "full_attention" | "sliding_attention"): RopeOptions {
    const all = this.#object("rope_parameters");
    const ofKind = kind && all ? this.#part(all, kind) : all;
    const own = ofKind ?? this.#object("rope_scaling") ?? {};
    const base = new ConfigReader({ rope_theta: this.config["rope_theta"], ...own });
    const scaling = scalingOf(base);
    return { theta: base.positive("rope_theta", theta), ...(scaling ? { scaling } : {}) };
  }

  #part(all: HfConfig, kind: string): HfConfig | undefined {
    const part = all[kind];
    return typeof part === "object" && part !== null ? (part as HfConfig) : all;
  }

  #object(key: string): HfConfig | undefined {
    const value = this.config[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "object" && !Array.isArray(value)) return value as HfConfig;
    throw configInvalid(key, value, "it is an object", "correct the field");
  }

  #read<V>(key: string, fallback: V | undefined, isFine: (v: unknown) => boolean, what: string): V {
    const value = this.has(key) ? this.config[key] : fallback;
    if (value !== undefined && isFine(value)) return value as V;
    throw configInvalid(key, value, `it must be ${what}`, "correct the field");
  }
}

function scalingOf(reader: ConfigReader): RopeScaling | undefined {
  const key = reader.has("rope_type") ? "rope_type" : "type";
  const kind = reader.word(key, ["default", "linear", "llama3"], "default");
  if (kind === "default") return undefined;
  const factor = reader.positive("factor");
  if (kind === "linear") return { kind, factor };
  return {
    kind,
    factor,
    lowFrequencyFactor: reader.positive("low_freq_factor"),
    highFrequencyFactor: reader.positive("high_freq_factor"),
    originalContext: reader.size("original_max_position_embeddings"),
  };
}

/** A rotary embedding as `rope_parameters` has it. */
export function ropeParameters({ theta = 10_000, scaling }: RopeOptions): HfConfig {
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
