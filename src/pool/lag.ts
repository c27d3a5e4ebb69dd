/** How old the groups were that were trained on. */

/** How often each lag occurred. */
export type Histogram = readonly (readonly [lag: number, count: number])[];

/** Lags of the groups taken. A bound is Infinity when greedy. */
export interface LagReport {
  /** Groups consumed between admission and taking; at most N + W − 2. */
  readonly groups: LagSummary;
  /** Steps whose weights came live in between; at most ⌊(N + W − 2) / P⌋. */
  readonly steps: LagSummary;
}

/** One unit of lag. `mean` and `max` are 0 before the first group. */
export interface LagSummary {
  /** By ascending lag. */
  readonly histogram: Histogram;
  readonly mean: number;
  readonly max: number;
  readonly bound: number;
}

export function addLag(histogram: Map<number, number>, lag: number): void {
  histogram.set(lag, (histogram.get(lag) ?? 0) + 1);
}

/** The report of both histograms, where `bound` is N + W − 2. */
export function lagReport(
  lags: Readonly<Record<"groups" | "steps", ReadonlyMap<number, number>>>,
  bound: number,
  groupsPerStep: number,
): LagReport {
  return {
    groups: summary(lags.groups, bound),
    steps: summary(lags.steps, Math.floor(bound / groupsPerStep)),
  };
}

function summary(lags: ReadonlyMap<number, number>, bound: number): LagSummary {
  const histogram = [...lags].sort(([a], [b]) => a - b);
  let [sum, count] = [0, 0];
  for (const [lag, times] of histogram) {
    sum += lag * times;
    count += times;
  }
  return { histogram, mean: count && sum / count, max: histogram.at(-1)?.[0] ?? 0, bound };
}
