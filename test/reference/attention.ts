/**
 * Naive forest attention in f64, forward and backward: the oracle of `shaders/attention-*.wgsl`.
 *
 * Query q sees key k iff k <= q and q < end[k] (and depth[q] - depth[k] < window when there is one).
 */

/** A set of token trees in depth-first pre-order. */
export interface Forest {
  /** Index of the parent, -1 at a root. */
  readonly parent: Int32Array;
  /** One past the last descendant. */
  readonly end: Uint32Array;
  /** Distance from the root. */
  readonly depth: Uint32Array;
}

/** Sizes and scalars; `window` 0 and `softcap` 0 mean none. */
export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly window: number;
  readonly softcap: number;
}

/** q, out, dout: [T, heads, headDim]; k, v: [T, kvHeads, headDim]; all contiguous. */
export interface AttentionInputs {
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
}

/** `end` and `depth` from `parent`, which must be in depth-first pre-order. */
export function forestFromParents(parents: ArrayLike<number>): Forest {
  const count = parents.length;
  const parent = Int32Array.from(parents);
  const end = Uint32Array.from({ length: count }, (_, t) => t + 1);
  const depth = new Uint32Array(count);
  for (let t = 0; t < count; t++) {
    const above = parent[t] ?? -1;
    depth[t] = above < 0 ? 0 : (depth[above] ?? 0) + 1;
  }
  for (let t = count - 1; t >= 0; t--) {
    const above = parent[t] ?? -1;
    if (above >= 0) end[above] = Math.max(end[above] ?? 0, end[t] ?? 0);
  }
  return { parent, end, depth };
}

/** Packed independent sequences: one chain per length. */
export function chainForest(lengths: readonly number[]): Forest {
  return forestFromParents(
    lengths
      .flatMap((length) => {
        return Array.from({ length }, (_, t) => (t === 0 ? 0 : 1));
      })
      .map((isChild, t) => (isChild ? t - 1 : -1)),
  );
}

/**
 * A random forest of `count` tokens: each next token continues the last path with probability `stay`, else it branches
 * off at a random ancestor, or starts a new tree with probability `fresh`.
 */
export function randomForest(
  count: number,
  random: () => number,
  stay = 0.8,
  fresh = 0.05,
): Forest {
  const parent: number[] = [];
  let path: number[] = [];
  for (let t = 0; t < count; t++) {
    if (t > 0 && random() < fresh) path = [];
    else if (random() > stay) path = path.slice(0, 1 + Math.floor(random() * path.length));
    parent.push(path.at(-1) ?? -1);
    path.push(t);
  }
  return forestFromParents(parent);
}

/** Whether `query` sees `key`. */
export function sees(forest: Forest, query: number, key: number, window: number): boolean {
  const inTree = key <= query && query < at(forest.end, key);
  return inTree && (window === 0 || at(forest.depth, query) - at(forest.depth, key) < window);
}

/** out [T, heads, headDim] and lse [heads, T]. */
export function attention(
  shape: AttentionShape,
  forest: Forest,
  inputs: AttentionInputs,
): { out: Float64Array; lse: Float64Array } {
  const { heads, headDim } = shape;
  const count = forest.end.length;
  const out = new Float64Array(count * heads * headDim);
  const lse = new Float64Array(heads * count);
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < count; query++) {
      const row = scoresOf(shape, forest, inputs, head, query);
      let max = -Infinity;
      for (const { score } of row) max = Math.max(max, score);
      let sum = 0;
      for (const { score } of row) sum += Math.exp(score - max);
      const total = max + Math.log(sum);
      lse[head * count + query] = total;
      for (const { score, vBase } of row) {
        const p = Math.exp(score - total);
        for (let d = 0; d < headDim; d++) {
          add(out, (query * heads + head) * headDim + d, p * at(inputs.v, vBase + d));
        }
      }
    }
  }
  return { out, lse };
}

/** Gradients of a loss whose gradient at `out` is `dout`. */
export function attentionBackward(
  shape: AttentionShape,
  forest: Forest,
  inputs: AttentionInputs,
  dout: ArrayLike<number>,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { heads, headDim, scale, softcap } = shape;
  const count = forest.end.length;
  const { out, lse } = attention(shape, forest, inputs);
  const dq = new Float64Array(inputs.q.length);
  const dk = new Float64Array(inputs.k.length);
  const dv = new Float64Array(inputs.v.length);
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < count; query++) {
      const qBase = (query * heads + head) * headDim;
      let delta = 0;
      for (let d = 0; d < headDim; d++) delta += at(dout, qBase + d) * at(out, qBase + d);
      for (const { score, vBase } of scoresOf(shape, forest, inputs, head, query)) {
        const p = Math.exp(score - at(lse, head * count + query));
        let dp = 0;
        for (let d = 0; d < headDim; d++) dp += at(dout, qBase + d) * at(inputs.v, vBase + d);
        const slope = softcap > 0 ? 1 - (score / softcap) ** 2 : 1;
        const ds = p * (dp - delta) * slope * scale;
        for (let d = 0; d < headDim; d++) {
          add(dq, qBase + d, ds * at(inputs.k, vBase + d));
          add(dk, vBase + d, ds * at(inputs.q, qBase + d));
          add(dv, vBase + d, p * at(dout, qBase + d));
        }
      }
    }
  }
  return { dq, dk, dv };
}

/** Scores of the keys that a query sees; `vBase` is where the key's row of k and of v begins. */
function scoresOf(
  shape: AttentionShape,
  forest: Forest,
  inputs: AttentionInputs,
  head: number,
  query: number,
): { score: number; vBase: number }[] {
  const { heads, kvHeads, headDim, scale, window, softcap } = shape;
  const kvHead = Math.floor(head / (heads / kvHeads));
  const row: { score: number; vBase: number }[] = [];
  for (let key = 0; key <= query; key++) {
    if (!sees(forest, query, key, window)) continue;
    const vBase = (key * kvHeads + kvHead) * headDim;
    let dot = 0;
    for (let d = 0; d < headDim; d++) {
      dot += at(inputs.q, (query * heads + head) * headDim + d) * at(inputs.k, vBase + d);
    }
    const score = dot * scale;
    row.push({ score: softcap > 0 ? softcap * Math.tanh(score / softcap) : score, vBase });
  }
  return row;
}

function at(array: ArrayLike<number>, index: number): number {
  return array[index] ?? Number.NaN;
}

function add(array: Float64Array, index: number, value: number): void {
  array[index] = at(array, index) + value;
}
