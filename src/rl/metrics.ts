/** What an update did to the policy, in the numbers that the field reports. Worked out on the host, in f64. */
import type { Algorithm } from "./algorithm/algorithm.ts";
import { type RatioUnit, ratioUnit } from "./algorithm/clipping.ts";
import type { Mismatch } from "./importance/mismatch.ts";
import { held } from "./importance/ratios.ts";
import { klEstimate } from "./kl.ts";
import { checkFinite, checkSameLength, type Row } from "./rows.ts";
import { mean, standardDeviation } from "./statistics.ts";

/** Tokens of an optimizer step, sequence behind sequence; all rows [M]. */
export interface PolicyTokens {
  /** logπ_θ, now. */
  readonly logprobs: Row;
  /** logπ_old: the denominator of the ratio. */
  readonly old: Row;
  readonly advantages: Row;
  /** 0 is padding and not counted. Default: all tokens count. */
  readonly weights?: Row;
  /** Under the reference policy. */
  readonly reference?: Row;
  /** [S + 1] where each sequence begins and the last one ends, for losses with one ratio per sequence. Default: one sequence. */
  readonly offsets?: ArrayLike<number>;
}

/**
 * | name | of the tokens, r = π_θ / π_old |
 * | --- | --- |
 * | `losses/approx_kl` | mean of (r − 1) − log r |
 * | `losses/old_approx_kl` | mean of −log r |
 * | `losses/clip_fraction` | share where the algorithm says that the loss bounded the ratio, the sequence's where it has one |
 * | `ratio/mean`, `std`, `min`, `max` | of r |
 * | `advantage/mean`, `std`, `min`, `max` | |
 * | `regime/positive_up`, `positive_down`, `negative_up`, `negative_down` | shares by the sign of A and r > 1 or r < 1 |
 * | `reference/k1`, `reference/kl` | means of k1 and k3 of π_θ against the reference, where there is one |
 *
 * log r is held to ±20 and deviations divide by n − 1. Without a token, means and extremes are NaN.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite`
 */
export function policyMetrics(
  tokens: PolicyTokens,
  algorithm: Pick<Algorithm, "loss" | "isClipped">,
): Record<string, number> {
  const counted = countedTokens(tokens);
  const pick = (row: Row): Float64Array => Float64Array.from(counted, (t) => Number(row[t]));
  const logs = pick(logRatios(tokens, counted, "token"));
  const bounded = pick(logRatios(tokens, counted, ratioUnit(algorithm.loss)));
  const [ratios, advantages] = [logs.map(Math.exp), pick(tokens.advantages)];
  const share = (of: (t: number) => boolean): number =>
    counted.filter((_, t) => of(t)).length / counted.length;
  const regime = (sign: number, way: number) =>
    share((t) => Number(advantages[t]) * sign > 0 && Number(logs[t]) * way > 0);
  return {
    "losses/approx_kl": mean(logs.map((x) => Math.expm1(x) - x)),
    "losses/old_approx_kl": mean(logs.map((x) => -x)),
    "losses/clip_fraction": share((t) =>
      algorithm.isClipped(Math.exp(Number(bounded[t])), Number(advantages[t])),
    ),
    ...summary("ratio", ratios),
    ...summary("advantage", advantages),
    "regime/positive_up": regime(1, 1),
    "regime/positive_down": regime(1, -1),
    "regime/negative_up": regime(-1, 1),
    "regime/negative_down": regime(-1, -1),
    ...(tokens.reference && divergence(pick(tokens.logprobs), pick(tokens.reference))),
  };
}

/** The names under which {@link Mismatch} is logged. */
export function mismatchMetrics({
  k1,
  k3,
  maxAbs,
  ess,
  pearson,
}: Mismatch): Record<string, number> {
  return {
    "mismatch/kl": k3,
    "mismatch/k1": k1,
    "mismatch/max_abs": maxAbs,
    "mismatch/ess": ess,
    "mismatch/pearson": pearson,
  };
}

/**
 * 1 − Var(R − V) / Var(R): 1 where the critic knows every return, 0 where it knows no more than their mean, below 0 where it
 * knows less. NaN where returns do not vary, as in CleanRL.
 *
 * @param values [M] before the update
 * @param returns [M] targets of the critic
 * @throws ForgeError `shape_mismatch`; `non_finite`
 */
export function explainedVariance(values: Row, returns: Row): number {
  checkSameLength("explained variance", { values, returns });
  checkFinite("explained variance", [values, returns]);
  const errors = Float64Array.from(returns, (r, t) => r - Number(values[t]));
  const [left, all] = [squares(errors), squares(returns)];
  return all > 0 ? 1 - left / all : Number.NaN;
}

function countedTokens({ weights, ...rows }: PolicyTokens): number[] {
  const { logprobs, old, advantages, reference } = rows;
  const named = { logprobs, old, advantages };
  checkSameLength("policy metrics", {
    ...named,
    ...(reference && { reference }),
    ...(weights && { weights }),
  });
  const counted = Array.from(logprobs, (_, t) => t).filter((t) => weights?.[t] !== 0);
  for (const [name, row] of Object.entries(named)) {
    checkFinite(`policy metrics: ${name}`, [counted.map((t) => Number(row[t]))]);
  }
  return counted;
}

/** [M] log of the ratio that is asked for, of each token that counts. */
function logRatios(
  { logprobs, old, offsets = [0, logprobs.length] }: PolicyTokens,
  counted: readonly number[],
  unit: RatioUnit,
): Float64Array {
  const logs = new Float64Array(logprobs.length);
  const sizes = new Float64Array(logprobs.length);
  for (const t of counted) {
    logs[t] = Number(logprobs[t]) - Number(old[t]);
    sizes[t] = 1;
  }
  if (unit === "token") return logs.map(held);
  for (let s = 0; s + 1 < offsets.length; s++) {
    const own = logs.subarray(Number(offsets[s]), Number(offsets[s + 1]));
    const tokens = sizes.subarray(Number(offsets[s]), Number(offsets[s + 1]));
    const [sum, size] = [own.reduce(add, 0), tokens.reduce(add, 0)];
    own.fill(held(unit === "sequence-mean" ? sum / size : sum));
  }
  return logs;
}

function divergence(logprobs: Float64Array, reference: Float64Array): Record<string, number> {
  checkFinite("policy metrics: reference", [reference]);
  const x = logprobs.map((logp, t) => held(logp - Number(reference[t])));
  return {
    "reference/k1": mean(x),
    "reference/kl": mean(x.map((log) => klEstimate(log, "k3"))),
  };
}

function summary(name: string, values: Float64Array): Record<string, number> {
  const extreme = (of: (a: number, b: number) => number): number =>
    values.length > 0 ? values.reduce((a, b) => of(a, b)) : Number.NaN;
  return {
    [`${name}/mean`]: mean(values),
    [`${name}/std`]: values.length < 2 ? 0 : standardDeviation(values),
    [`${name}/min`]: extreme(Math.min),
    [`${name}/max`]: extreme(Math.max),
  };
}

function squares(values: Row): number {
  const centre = mean(values);
  return Array.from(values).reduce((sum, x) => sum + (x - centre) ** 2, 0);
}

function add(a: number, b: number): number {
  return a + b;
}
