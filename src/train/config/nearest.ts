/** The word that somebody meant. */

/**
 * The candidate with the fewest slips to `word`: letters added, left out, mistaken or swapped with their neighbour; case,
 * `-` and `_` do not count. Undefined when even that has more slips than a third of its letters.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = slips(plain(word), plain(candidate));
    if (distance >= least || distance > Math.max(1, candidate.length / 3)) continue;
    [best, least] = [candidate, distance];
  }
  return best;
}

const plain = (word: string): string => word.toLowerCase().replace(/[-_]/g, "").slice(0, 64);

/** Optimal string alignment distance (Damerau 1964). */
function slips(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = Number(last[j - 1]) + Number(a[i - 1] !== b[j - 1]);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? Number(before[j - 2]) + 1 : change;
      row.push(Math.min(change, swap, Number(last[j]) + 1, Number(row[j - 1]) + 1));
    }
    [before, last] = [last, row];
  }
  return Number(last[b.length]);
}
