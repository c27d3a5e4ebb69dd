/** What successes among trials say of a policy. */
import { ForgeError } from "../../../engine/error.ts";

/** How sure an interval is: the share of intervals like it that hold the truth. */
export type Confidence = 0.9 | 0.95 | 0.99;

/** A range with a confidence. */
export interface Interval {
  readonly low: number;
  readonly high: number;
  readonly confidence: Confidence;
}

/** Successes among trials. */
export interface Counts {
  readonly successes: number;
  readonly trials: number;
}

/** Quantiles of the standard normal distribution at (1 + confidence) / 2. */
const QUANTILES: Readonly<Record<Confidence, number>> = {
  0.9: 1.6448536269514722,
  0.95: 1.959963984540054,
  0.99: 2.5758293035489004,
};

/**
 * The chance that one of k samples of a task is a success, estimated without bias from `trials` samples of which
 * `successes` were: 1 − C(n − c, k) / C(n, k), as the product of 1 − k / i over i = n − c + 1 … n, which neither
 * overflows nor cancels. Source: Chen et al. 2021, arXiv:2107.03374, eq. 1.
 *
 * Errors    `argument_invalid` for counts that are none, and for k below 1 or above the number of trials.
 */
export function passAtK(counts: Counts, k: number): number {
  checkCounts("passAtK", counts);
  const { successes, trials } = counts;
  if (!(Number.isSafeInteger(k) && k >= 1 && k <= trials)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "passAtK: k is no number of samples that there are.",
      got: `k ${k} of ${trials} samples`,
      fix: "pass a whole number from 1 to the number of samples",
    });
  }
  if (trials - successes < k) return 1;
  let failing = 1;
  for (let i = trials - successes + 1; i <= trials; i++) failing *= 1 - k / i;
  return 1 - failing;
}

/**
 * The interval of a share by its score: the values that a test at this confidence would not reject. Without trials it is
 * all of [0, 1]. Source: Wilson 1927, J. Am. Stat. Assoc. 22:209–212.
 *
 * Errors    `argument_invalid` for counts that are none.
 */
export function wilsonInterval(counts: Counts, confidence: Confidence = 0.95): Interval {
  checkCounts("wilsonInterval", counts);
  const { successes, trials } = counts;
  if (trials === 0) return { low: 0, high: 1, confidence };
  const square = QUANTILES[confidence] ** 2;
  const share = successes / trials;
  const middle = share + square / (2 * trials);
  const reach = Math.sqrt(square * ((share * (1 - share)) / trials + square / (4 * trials ** 2)));
  const scale = 1 + square / trials;
  return {
    // rounding must not leave what all successes, or none, show to be possible
    low: successes === 0 ? 0 : (middle - reach) / scale,
    high: successes === trials ? 1 : (middle + reach) / scale,
    confidence,
  };
}

/**
 * The interval of a difference of two shares, `after` − `before`, from the intervals of both. It takes all trials for
 * independent: between evaluations of the same tasks it is rather too wide than too narrow.
 * Source: Newcombe 1998, Stat. Med. 17:873–890, method 10.
 *
 * Errors    `argument_invalid` for counts that are none.
 */
export function differenceInterval(
  before: Counts,
  after: Counts,
  confidence: Confidence = 0.95,
): Interval {
  const [b, a] = [wilsonInterval(before, confidence), wilsonInterval(after, confidence)];
  const [pb, pa] = [successRate(before), successRate(after)];
  if (pb === null || pa === null) return { low: -1, high: 1, confidence };
  return {
    low: pa - pb - Math.hypot(pa - a.low, b.high - pb),
    high: pa - pb + Math.hypot(a.high - pa, pb - b.low),
    confidence,
  };
}

/** Successes in trials; `null` without any. */
export function successRate({ successes, trials }: Counts): number | null {
  return trials === 0 ? null : successes / trials;
}

function checkCounts(name: string, { successes, trials }: Counts): void {
  const isFine =
    [successes, trials].every((n) => Number.isSafeInteger(n) && n >= 0) && successes <= trials;
  if (isFine) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${name}: these are no successes among trials.`,
    got: `${successes} of ${trials}`,
    fix: "pass whole numbers from 0, and no more successes than trials",
  });
}
