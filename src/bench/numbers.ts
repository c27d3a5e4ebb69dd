/** Deterministic numbers for benchmarks and self-tests. */

/** A generator of numbers in [0, 1) (mulberry32): the same ones on every machine and for every engine that is compared. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Floats in [low, high). */
export function uniform(
  count: number,
  next: () => number,
  low = -0.5,
  high = 0.5,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => low + (high - low) * next());
}

/** Normal floats of this standard deviation (Box and Muller). */
export function gaussian(
  count: number,
  deviation: number,
  next: () => number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return deviation * radius * Math.cos(2 * Math.PI * next());
  });
}
