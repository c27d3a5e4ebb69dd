/** Oracle of importance corrections: weights for what the sampler and the trainer see differently. */
import { at, clip, lengthOf, maskedMean, type Rows } from "./rl-losses.ts";

/** w = π_old / π_rollout of each token, log held to ±20; 0 where the mask is. */
export function tokenWeights(old: Rows, rollout: Rows, mask: Rows): Float64Array[] {
  return mask.map((row, i) =>
    Float64Array.from(row, (m, t) =>
      m === 0 ? 0 : Math.exp(clip(at(old, i, t) - at(rollout, i, t), -20, 20)),
    ),
  );
}

/** Π w of each sequence, or its geometric mean over tokens; 1 without a sampled token. */
export function sequenceWeights(
  old: Rows,
  rollout: Rows,
  mask: Rows,
  of: "sum" | "mean",
): Float64Array {
  return Float64Array.from(mask, (row, i) => {
    const sum = Array.from(row).reduce(
      (total, m, t) => (m === 0 ? total : total + at(old, i, t) - at(rollout, i, t)),
      0,
    );
    const length = lengthOf(row);
    return Math.exp(clip(of === "mean" && length > 0 ? sum / length : sum, -20, 20));
  });
}

/** Truncated importance sampling: min(w, cap). */
export function truncated(weights: ArrayLike<number>, cap: number): Float64Array {
  return Float64Array.from(weights, (w) => Math.min(w, cap));
}

/** w within the bounds, 0 outside: IcePop for tokens, a sequence mask for sequences, the behaviour cap of AReaL. */
export function banded(weights: ArrayLike<number>, low: number, high: number): Float64Array {
  return Float64Array.from(weights, (w) => (w >= low && w <= high ? w : 0));
}

/** Truncated token weights where the sequence's geometric mean lies within the bounds, else 0. */
export function sequenceMaskedTokens(
  input: { readonly old: Rows; readonly rollout: Rows; readonly mask: Rows },
  bounds: { readonly low: number; readonly high: number; readonly cap: number },
): Float64Array[] {
  const { old, rollout, mask } = input;
  const kept = banded(sequenceWeights(old, rollout, mask, "mean"), bounds.low, bounds.high);
  return tokenWeights(old, rollout, mask).map((row, i) =>
    kept[i] === 0 ? new Float64Array(row.length) : truncated(row, bounds.cap),
  );
}

/** Scaled to a mean of 1 over the sampled tokens. */
export function normalizedWeights(weights: Rows, mask: Rows): Float64Array[] {
  const centre = maskedMean(mask, 0, (i, t) => at(weights, i, t));
  return weights.map((row) => Float64Array.from(row, (w) => w / centre));
}

/** How far apart sampler and trainer are. */
export interface Mismatch {
  /** Means of k1 and k3 with x = logπ_rollout − logπ_old, since the sampler's policy drew the tokens. */
  readonly k1: number;
  readonly k3: number;
  /** 1 − effective share of the samples, (Σw)² / (n·Σw²). */
  readonly lostShare: number;
}

export function mismatch(old: Rows, rollout: Rows, mask: Rows): Mismatch {
  const x = (i: number, t: number) => at(rollout, i, t) - at(old, i, t);
  const weights = tokenWeights(old, rollout, mask);
  const first = maskedMean(mask, 0, (i, t) => at(weights, i, t));
  const second = maskedMean(mask, 0, (i, t) => at(weights, i, t) ** 2);
  return {
    k1: maskedMean(mask, 0, x),
    k3: maskedMean(mask, 0, (i, t) => Math.expm1(-x(i, t)) + x(i, t)),
    lostShare: 1 - first ** 2 / second,
  };
}

/**
 * logπ_prox ≈ logπ_b + α·(logπ_θ − logπ_b), α = (v_prox − v_b) / (v_θ − v_b) by versions of the weights (AReaL's
 * `loglinear`); logπ_b where the versions are the same.
 */
export function loglinearProximal(
  behaviour: number,
  current: number,
  versions: { readonly behaviour: number; readonly proximal: number; readonly current: number },
): number {
  const span = versions.current - versions.behaviour;
  if (span === 0) return behaviour;
  return behaviour + ((versions.proximal - versions.behaviour) / span) * (current - behaviour);
}
