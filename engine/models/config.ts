/** Fields of a Hugging Face config.json, checked as they are read. */
import { ForgeError } from "../error.ts";
import { quote } from "./file-invalid.ts";

/** A config.json as parsed. */
export type HfConfig = Readonly<Record<string, unknown>>;

/** What a config.json holds that makes no sense. */
export function configInvalid(field: string, got: unknown, why: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: `config.json: ${quote(field)} cannot be used.`,
    got: shown(got),
    why,
    fix: "correct the field, or fetch the file again",
  });
}

/** What a config.json asks for that makes sense, but is not built. */
export function modelUnsupported(what: string, got: string, fix: string, why?: string): ForgeError {
  return new ForgeError({
    code: "model_unsupported",
    what: `config.json: ${what}`,
    got,
    ...(why === undefined ? {} : { why }),
    fix,
  });
}

function isFloat(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(Math.fround(value));
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** Fields that the original library wants to be floating-point numbers. */
const FLOATS =
  /^( *"(?:initializer_range|rms_norm_eps|layer_norm_epsilon|(?:attn|final)_logit_softcapping|rope_theta|rope_local_base_freq|(?:low_freq_|high_freq_)?factor)": -?\d+)(,?)$/gm;

/** A config.json as text. Python tells 30.0 from 30 and refuses the second for a softcap; JavaScript writes both as 30. */
export function configText(config: HfConfig): string {
  return JSON.stringify(config, null, 2).replace(FLOATS, "$1.0$2");
}

/** Sizes are held in u32 on the GPU, and none comes near this. */
const MAX_SIZE = 2 ** 31 - 1;

/** Reads fields. `null` counts as absent, as it does in the original library. */
export class ConfigReader {
  readonly config: HfConfig;
  /** Where in config.json the fields are, for messages: "" or "rope_parameters.". */
  readonly #path: string;

  constructor(config: HfConfig, path = "") {
    this.config = config;
    this.#path = path;
  }

  has(key: string): boolean {
    return this.config[key] !== undefined && this.config[key] !== null;
  }

  /** Whether a field is there, as `null`. */
  isNull(key: string): boolean {
    return this.config[key] === null;
  }

  /** An integer from `least` (1) on. */
  size(key: string, fallback?: number, least = 1): number {
    const isSize = (v: unknown): boolean =>
      Number.isInteger(v) && (v as number) >= least && (v as number) <= MAX_SIZE;
    return this.#read(key, fallback, isSize, `an integer from ${least} to ${MAX_SIZE}`);
  }

  /** A positive number that is one in f32 too. */
  positive(key: string, fallback?: number): number {
    const isPositive = (v: unknown): boolean => isFloat(v) && Math.fround(v) > 0;
    return this.#read(key, fallback, isPositive, "a positive number of f32");
  }

  /** A number from 0 on. */
  deviation(key: string, fallback: number): number {
    return this.#read(key, fallback, (v) => isFloat(v) && v >= 0, "a number from 0 on");
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#read(key, fallback, (v) => typeof v === "boolean", "true or false");
  }

  /** Refuses a field that changes the model in a way that is not built. */
  allow(key: string, ...values: readonly unknown[]): void {
    if (!this.has(key) || values.includes(this.config[key])) return;
    const allowed = values.map((v) => JSON.stringify(v)).join(" or ");
    throw modelUnsupported(
      `this ${quote(this.#path + key)} is not built.`,
      shown(this.config[key]),
      allowed ? `use a checkpoint with ${allowed}` : "use a checkpoint without it",
    );
  }

  /** The fields of an object; of an empty one where there is none. */
  part(key: string): ConfigReader {
    const value = this.has(key) ? this.config[key] : {};
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.invalid(key, "it must be an object");
    }
    return new ConfigReader(value as HfConfig, `${this.#path}${key}.`);
  }

  /** The error of a field's value. */
  invalid(key: string, why: string): ForgeError {
    return configInvalid(this.#path + key, this.config[key], why);
  }

  /** Which layers see a window only, from `layer_types`; undefined where the config does not say. */
  layerTypes(layers: number): readonly boolean[] | undefined {
    if (!this.has("layer_types")) return undefined;
    const types = this.config["layer_types"];
    const isKnown = (t: unknown): boolean => t === "sliding_attention" || t === "full_attention";
    if (!Array.isArray(types) || types.length !== layers || !types.every(isKnown)) {
      throw this.invalid("layer_types", `it must have full_ or sliding_attention ${layers} times`);
    }
    return types.map((t) => t === "sliding_attention");
  }

  #read<V>(key: string, fallback: V | undefined, isFine: (v: unknown) => boolean, what: string): V {
    const value = this.has(key) ? this.config[key] : fallback;
    if (value !== undefined && isFine(value)) return value as V;
    throw configInvalid(this.#path + key, value, `it must be ${what}`);
  }
}
