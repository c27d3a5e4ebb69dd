/** Golden vectors of advantages and losses: what verl, TRL and prime-rl give, out of the assets. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicyBatch, Rows } from "../reference/rl-losses.ts";
import { ABSENT, ASSETS } from "./assets.ts";

const file = join(ASSETS, "golden/rl.json");

/** What the values are of: rows of four tokens, two groups of three samples. */
export interface GoldenInputs {
  readonly group: readonly number[];
  readonly reward: readonly number[];
  readonly mask: Rows;
  readonly logp_old: Rows;
  readonly logp_new: Rows;
  readonly logp_ref: Rows;
  readonly logp_rollout: Rows;
  readonly values_old: Rows;
  readonly values_new: Rows;
  readonly token_reward: Rows;
}

/** A number, one per sample, or one per token. */
export type GoldenValue = number | ArrayLike<number> | Rows;

interface Golden {
  readonly inputs: GoldenInputs;
  readonly expected: Readonly<Record<string, GoldenValue>>;
}

/** Undefined where there are no assets. */
export const GOLDEN_RL: Golden | undefined = existsSync(file)
  ? (JSON.parse(readFileSync(file, "utf8")) as Golden)
  : undefined;

/** What a skipped test's name ends with. */
export const GOLDEN_RL_ABSENT = GOLDEN_RL ? "" : ` ${ABSENT}`;

/** The batch that all golden losses read, with the advantages of verl's GRPO unless others are given. */
export function goldenBatch(inputs: GoldenInputs, advantages: ArrayLike<number>): PolicyBatch {
  return {
    logp: inputs.logp_new,
    old: inputs.logp_old,
    mask: inputs.mask,
    advantages: inputs.mask.map((row, i) => Array.from(row, () => Number(advantages[i]))),
  };
}

/** All numbers of a value in a row. */
export function flat(value: GoldenValue): number[] {
  if (typeof value === "number") return [value];
  return Array.from(value as ArrayLike<number | ArrayLike<number>>).flatMap((x) =>
    typeof x === "number" ? [x] : Array.from(x),
  );
}
