/**
 * Naive attention over a cache of keys and values in f64: the oracle of `shaders/cache-*.wgsl`.
 *
 * A row (token) at a position of a slot sees the positions of that slot up to its own (and position − t < window when there
 * is a window).
 */

/** Sizes and scalars; `window` 0 and `softcap` 0 mean none. */
export interface CacheAttentionShape {
  readonly slots: number;
  readonly positions: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly window: number;
  readonly softcap: number;
}

/** qkv [N, (heads + 2·kvHeads)·headDim]; a row beyond the slots or positions has no place. */
export interface Rows {
  readonly qkv: ArrayLike<number>;
  readonly slots: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
}

/** The cache [slots, positions, 2·kvHeads·headDim] after the rows have written their keys and values into it. */
export function cacheWrite(
  shape: CacheAttentionShape,
  cache: ArrayLike<number>,
  { qkv, slots, positions }: Rows,
): Float64Array {
  const { heads, kvHeads, headDim } = shape;
  const written = Float64Array.from(cache);
  const width = 2 * kvHeads * headDim;
  for (let row = 0; row < slots.length; row++) {
    const [slot, position] = [at(slots, row), at(positions, row)];
    if (slot >= shape.slots || position >= shape.positions) continue;
    for (let i = 0; i < width; i++) {
      const from = row * (heads * headDim + width) + heads * headDim + i;
      written[(slot * shape.positions + position) * width + i] = at(qkv, from);
    }
  }
  return written;
}

/** out [N, heads, headDim] of rows over the cache, which holds them already. */
export function cacheAttention(
  shape: CacheAttentionShape,
  cache: ArrayLike<number>,
  { qkv, slots, positions }: Rows,
): Float64Array {
  const { heads, kvHeads, headDim, scale, window, softcap } = shape;
  const out = new Float64Array(slots.length * heads * headDim);
  for (let row = 0; row < slots.length; row++) {
    const [slot, position] = [at(slots, row), at(positions, row)];
    if (slot >= shape.slots || position >= shape.positions) continue;
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads));
      const qBase = (row * (heads + 2 * kvHeads) + head) * headDim;
      const first = window > 0 ? Math.max(0, position - window + 1) : 0;
      const scores: { readonly score: number; readonly vBase: number }[] = [];
      for (let t = first; t <= position; t++) {
        const kBase = ((slot * shape.positions + t) * 2 * kvHeads + kvHead) * headDim;
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += at(qkv, qBase + d) * at(cache, kBase + d);
        const score = softcap > 0 ? softcap * Math.tanh((dot * scale) / softcap) : dot * scale;
        scores.push({ score, vBase: kBase + kvHeads * headDim });
      }
      const max = Math.max(...scores.map(({ score }) => score));
      const sum = scores.reduce((total, { score }) => total + Math.exp(score - max), 0);
      for (const { score, vBase } of scores) {
        const p = Math.exp(score - max) / sum;
        for (let d = 0; d < headDim; d++) {
          out[(row * heads + head) * headDim + d] =
            at(out, (row * heads + head) * headDim + d) + p * at(cache, vBase + d);
        }
      }
    }
  }
  return out;
}

/** One copy of the first `length` positions of slot `from` to slot `to`. */
export interface SlotCopy {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** The cache [slots, positions, width] after the copies. */
export function cacheCopy(
  cache: ArrayLike<number>,
  [slots, positions, width]: readonly [number, number, number],
  copies: readonly SlotCopy[],
): Float64Array {
  const copied = Float64Array.from(cache);
  for (const { from, to, length } of copies) {
    if (from >= slots || to >= slots) continue;
    for (let i = 0; i < Math.min(length, positions) * width; i++) {
      copied[to * positions * width + i] = at(cache, from * positions * width + i);
    }
  }
  return copied;
}

function at(array: ArrayLike<number>, index: number): number {
  return array[index] ?? Number.NaN;
}
