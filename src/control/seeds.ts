/** Seeds for the parts of a run. */

/**
 * A seed of 32 bits for each list of words: what is drawn depends on what it is for, not on what was drawn before, and a
 * run that is resumed needs its counters alone.
 *
 * Source of the mixing: the finalizer of Appleby's MurmurHash3 (https://github.com/aappleby/smhasher, public domain).
 */
export function seedOf(...words: readonly number[]): number {
  return words.reduce((hash, word) => {
    let h = Math.imul(hash ^ word, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  }, 0x9e3779b9);
}

/** Numbers from 0 to `count` − 1 in random order (Fisher & Yates 1938, as in Knuth's algorithm P). */
export function shuffled(count: number, random: { integer(count: number): number }): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
