/** How far the policy that sampled is from the one that is trained. */
import { klEstimate } from "../kl.ts";
import type { Rows } from "../rows.ts";
import { held, logRatios } from "./ratios.ts";

/** What {@link mismatch} measures. */
export interface Mismatch {
  /** Mean of x = logπ_rollout − logπ_trainer: KL(rollout ‖ trainer) in nats, which samples may give below 0. */
  readonly k1: number;
  /** Mean of e^−x + x − 1, the same divergence and never below 0. */
  readonly k3: number;
  /** Largest |x|. */
  readonly maxAbs: number;
  /** (Σw)² / (n·Σw²), w = π_trainer / π_rollout: the share of the tokens that is left as evidence; 1 is all. */
  readonly ess: number;
  /** Correlation of the probabilities of the tokens; NaN where one of the two sides does not vary. */
  readonly pearson: number;
}

/**
 * Statistics over all tokens of a batch. Where both sides are the same: 0, 0, 0, 1 and 1. Without a token nothing is apart,
 * and there is no correlation.
 *
 * MiniMax-M1 reports the correlation (arXiv:2506.13585, §3.2: 0.987 before its head was in f32, 0.997 after).
 *
 * @param trainer [sequences][tokens] log-probabilities
 * @param rollout [sequences][tokens] log-probabilities
 * @throws ForgeError `shape_mismatch`; `non_finite`
 */
export function mismatch(trainer: Rows, rollout: Rows): Mismatch {
  const logs = logRatios(trainer, rollout).flatMap((row) => Array.from(row));
  const count = Math.max(1, logs.length);
  let [k1, k3, maxAbs, first, second] = [0, 0, 0, 0, 0];
  for (const log of logs) {
    const w = Math.exp(held(log));
    k1 -= log;
    k3 += klEstimate(-held(log), "k3");
    maxAbs = Math.max(maxAbs, Math.abs(log));
    first += w;
    second += w * w;
  }
  return {
    k1: k1 / count,
    k3: k3 / count,
    maxAbs,
    ess: logs.length === 0 ? 1 : (first * first) / (count * second),
    pearson: correlation(probabilities(trainer), probabilities(rollout)),
  };
}

function probabilities(logprobs: Rows): number[] {
  return logprobs.flatMap((row) => Array.from(row, Math.exp));
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const centred = (values: readonly number[]): readonly number[] => {
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    return values.map((x) => x - mean);
  };
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, i) => sum + value * Number(y[i]), 0);
  const [x, y] = [centred(a), centred(b)];
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}
