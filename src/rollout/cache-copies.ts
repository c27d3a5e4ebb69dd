/** Prefixes on their way from slot to slot of a KV cache. */

/** A prefix to be copied: the first `length` tokens of a slot. */
export interface CacheCopy {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** Copies in one call. */
export const MAX_COPIES = 32;

/**
 * Runs of at most {@link MAX_COPIES} in which no slot is both read and written, nor written twice: a call makes its copies
 * at once. Made one after the other, the runs come to the same as the copies in their order.
 */
export function independentRuns(copies: readonly CacheCopy[]): CacheCopy[][] {
  const runs: CacheCopy[][] = [];
  let [from, to] = [new Set<number>(), new Set<number>()];
  for (const copy of copies) {
    const run = runs.at(-1);
    const clashes = from.has(copy.to) || to.has(copy.from) || to.has(copy.to);
    if (!run || run.length === MAX_COPIES || clashes) {
      runs.push([copy]);
      [from, to] = [new Set(), new Set()];
    } else run.push(copy);
    from.add(copy.from);
    to.add(copy.to);
  }
  return runs;
}
