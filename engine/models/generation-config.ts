/** generation_config.json: how the makers of a model want it to be sampled. */
import { ForgeError } from "../error.ts";

/** How a model is sampled unless its user says otherwise: what Hugging Face's `generate` would do. */
export interface GenerationDefaults {
  /** 0, the most probable token, unless `do_sample` is true; then 1 where none is given. */
  readonly temperature: number;
  /** 50 where none is given; 0 is off. */
  readonly topK: number;
  /** 1, off, where none is given. */
  readonly topP: number;
  /** 0, off, where none is given. */
  readonly minP: number;
  /** Tokens of an answer at most. */
  readonly maxNewTokens: number | undefined;
  /** Tokens that end an answer. */
  readonly eosIds: readonly number[];
  readonly bosId: number | undefined;
  readonly padId: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * The defaults in a generation_config.json; `config`, the model's config.json, has the tokens where the first is silent.
 * Fields that are not used here are ignored; `null` counts as absent.
 *
 * Errors    `config_invalid`, naming the field, for a value outside of its range.
 */
export function generationDefaults(
  generation: Fields = {},
  config: Fields = {},
): GenerationDefaults {
  const number = (key: string, fallback: number, isFine: (v: number) => boolean, rule: string) =>
    checked(generation[key] ?? fallback, key, (v) => isNumber(v) && isFine(v), rule) as number;
  const isSampled = checked(
    generation["do_sample"] ?? false,
    "do_sample",
    (v) => typeof v === "boolean",
    "true or false",
  );
  const temperature = number("temperature", 1, (v) => v >= 0, "a number from 0 on");
  const newTokens = generation["max_new_tokens"] ?? undefined;
  return {
    temperature: isSampled ? temperature : 0,
    topK: number("top_k", 50, isCount, "an integer from 0 (off) on"),
    topP: number("top_p", 1, (v) => v > 0 && v <= 1, "above 0, to 1 (off)"),
    minP: number("min_p", 0, (v) => v >= 0 && v <= 1, "from 0 (off) to 1"),
    maxNewTokens:
      newTokens === undefined
        ? undefined
        : number("max_new_tokens", 1, (v) => isCount(v) && v > 0, "an integer from 1 on"),
    eosIds: tokenIds("eos_token_id", generation, config),
    bosId: tokenIds("bos_token_id", generation, config)[0],
    padId: tokenIds("pad_token_id", generation, config)[0],
  };
}

/** One id or several; some old files write −1 for none. */
function tokenIds(key: string, generation: Fields, config: Fields): readonly number[] {
  const value = generation[key] ?? config[key] ?? [];
  const ids = [value].flat();
  checked(
    value,
    key,
    () => ids.every((id) => isNumber(id) && (isCount(id) || id === -1)),
    "a token id, or a list of them",
  );
  return (ids as number[]).filter((id) => id >= 0);
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

function checked<V>(value: V, key: string, isFine: (value: V) => boolean, rule: string): V {
  if (isFine(value)) return value;
  throw new ForgeError({
    code: "config_invalid",
    what: `generation_config.json: "${key}" cannot be used.`,
    got: JSON.stringify(value).slice(0, 120),
    why: `it is ${rule}`,
    fix: "correct the field, or remove it",
  });
}
