/** Ratios of the trainer's policy to the sampler's, from the log-probabilities of sampled tokens. */
import { checkFinite, checkSameShape, type Rows } from "../rows.ts";

/** Logs of ratios are held to this, as in verl: beyond it a weight says nothing but that something is wrong. */
const LOG_LIMIT = 20;

/** x, held to ±20. */
export function held(x: number): number {
  return Math.min(LOG_LIMIT, Math.max(-LOG_LIMIT, x));
}

/**
 * logπ_old − logπ_rollout of each token.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite`
 */
export function logRatios(old: Rows, rollout: Rows): Float64Array[] {
  checkSameShape("importance weights", { old, rollout });
  checkFinite("importance weights: old", old);
  checkFinite("importance weights: rollout", rollout);
  return old.map((row, i) => Float64Array.from(row, (x, t) => x - Number(rollout[i]?.[t])));
}

/** w = π_old / π_rollout of each token. */
export function tokenRatios(old: Rows, rollout: Rows): Float64Array[] {
  return logRatios(old, rollout).map((row) => row.map((x) => Math.exp(held(x))));
}

/** Of each sequence: the product of its tokens' ratios, or their geometric mean; 1 without a token. */
export function sequenceRatios(old: Rows, rollout: Rows, of: "sum" | "mean"): Float64Array {
  return Float64Array.from(logRatios(old, rollout), (row) => {
    const sum = row.reduce((total, x) => total + x, 0);
    return Math.exp(held(of === "mean" && row.length > 0 ? sum / row.length : sum));
  });
}

/** A weight per sequence for each of its tokens. */
export function spread(weights: ArrayLike<number>, rows: Rows): Float64Array[] {
  return rows.map((row, i) => new Float64Array(row.length).fill(Number(weights[i])));
}

/** w within the bounds, 0 outside. */
export function banded(weights: Float64Array, low: number, high: number): Float64Array {
  return weights.map((w) => (w >= low && w <= high ? w : 0));
}
