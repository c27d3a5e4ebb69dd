/** How old the groups were that were trained on. */

/** How often each lag occurred. */
export type Histogram = readonly (readonly [lag: number, count: number])[];

/** {@link LagStatistics} in a checkpoint. */
export type LagSnapshot = Readonly<Record<"groups" | "steps", Histogram>>;

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

/** The lags of the groups taken, in both units. */
export class LagStatistics {
  readonly #groups = new Map<number, number>();
  readonly #steps = new Map<number, number>();

  /** Goes on where another was, from nothing. */
  fill(snapshot: LagSnapshot): void {
    for (const [lag, count] of snapshot.groups) this.#groups.set(lag, count);
    for (const [lag, count] of snapshot.steps) this.#steps.set(lag, count);
  }

  /** Counts a group. */
  add(groups: number, steps: number): void {
    this.#groups.set(groups, (this.#groups.get(groups) ?? 0) + 1);
    this.#steps.set(steps, (this.#steps.get(steps) ?? 0) + 1);
  }

  /** Where `bound` is N + W − 2. */
  report(bound: number, groupsPerStep: number): LagReport {
    return {
      groups: summary(this.#groups, bound),
      steps: summary(this.#steps, Math.floor(bound / groupsPerStep)),
    };
  }

  /** As plain JSON, in the order in which the lags first occurred. */
  snapshot(): LagSnapshot {
    return { groups: [...this.#groups], steps: [...this.#steps] };
  }
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
