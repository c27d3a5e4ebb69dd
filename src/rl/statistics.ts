/**
 * Means, deviations and whitening, over samples and over the sampled tokens of a batch.
 *
 * Deviations divide by n − 1, as in verl and TRL. The masked ones are those of verl's `utils/torch_functional.py`.
 */
import { checkMask, checkSameShape, type Row, type Rows } from "./rows.ts";

/** What verl adds to the number of tokens, and to a variance under its root. */
const EPSILON = 1e-8;

/** Mean; equal numbers give exactly that number. NaN for none. */
export function mean(values: ArrayLike<number>): number {
  // Around the first value: the sum of many equal numbers is rounded, the sum of many zeros is not.
  const origin = Number(values[0]);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Number(values[i]) - origin;
  return origin + sum / values.length;
}

/** Unbiased standard deviation; 1 for fewer than two values, which have none. */
export function standardDeviation(values: ArrayLike<number>): number {
  if (values.length < 2) return 1;
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (Number(values[i]) - centre) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}

/** Middle value, or the mean of the two in the middle. NaN for none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  if (sorted.length % 2 === 1) return Number(sorted[half]);
  return (Number(sorted[half - 1]) + Number(sorted[half])) / 2;
}

/** (x − mean) / (std + 1e-8), as PPO for control does with a minibatch of advantages (CleanRL, Stable-Baselines3). */
export function normalized(values: ArrayLike<number>): Float64Array {
  const [centre, scale] = [mean(values), standardDeviation(values) + EPSILON];
  return Float64Array.from(values, (value) => (value - centre) / scale);
}

/** Of the tokens whose mask is 1. */
export interface MaskedMoments {
  readonly count: number;
  /** Σ x·m / (Σ m + 1e-8). */
  readonly mean: number;
  /** Unbiased; 0 for fewer than two tokens. */
  readonly variance: number;
}

/**
 * Moments of the sampled tokens of a batch.
 *
 * @throws ForgeError `shape_mismatch`; `argument_invalid` for a mask of something else than 0 and 1
 */
export function maskedMoments(rows: Rows, mask: Rows): MaskedMoments {
  checkSameShape("masked moments", { rows, mask });
  checkMask("masked moments", mask);
  const count = sumOver(rows, mask, () => 1);
  const centre = sumOver(rows, mask, (x) => x) / (count + EPSILON);
  if (count < 2) return { count, mean: centre, variance: 0 };
  const biased = sumOver(rows, mask, (x) => (x - centre) ** 2) / (count + EPSILON);
  return { count, mean: centre, variance: (biased * count) / (count - 1) };
}

/**
 * (x − μ) / √(σ² + 1e-8) with the moments of the sampled tokens. Other tokens are moved and scaled alike, as in verl.
 * With fewer than two sampled tokens there is no scale, and everything is 0.
 *
 * @throws ForgeError as {@link maskedMoments}
 */
export function whiten(rows: Rows, mask: Rows): Float64Array[] {
  const { count, mean: centre, variance } = maskedMoments(rows, mask);
  if (count < 2) return rows.map((row) => new Float64Array(row.length));
  const scale = 1 / Math.sqrt(variance + EPSILON);
  return rows.map((row) => Float64Array.from(row, (x) => (x - centre) * scale));
}

/** A number per sample [samples] for each of its sampled tokens, 0 for the others. */
export function perToken(values: ArrayLike<number>, mask: Rows): Float64Array[] {
  return mask.map((row, i) => Float64Array.from(row, (m) => Number(values[i]) * m));
}

/** Rows with 0 on tokens that were not sampled. */
export function masked(rows: Rows, mask: Rows): Float64Array[] {
  return rows.map((row, i) => Float64Array.from(row, (x, t) => x * Number(mask[i]?.[t])));
}

function sumOver(rows: Rows, mask: Rows, of: (x: number) => number): number {
  let sum = 0;
  for (const [i, row] of rows.entries()) {
    const masks = mask[i] as Row;
    for (let t = 0; t < row.length; t++) if (masks[t] === 1) sum += of(Number(row[t]));
  }
  return sum;
}
