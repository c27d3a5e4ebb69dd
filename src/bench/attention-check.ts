/**
 * Checks attention over packed chains in f64: the last chain, all query heads of the last key head. That is every tile of a
 * kernel along a chain, at a cost that stays bearable for long ones.
 */
/** Attention to measure: chains of one length, packed. */
export interface AttentionSpec {
  readonly chains: number;
  /** Tokens of a chain. */
  readonly length: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Forward alone, or forward and the gradients of q, k and v. */
  readonly part: "forward" | "training";
}

/** Operands, each [tokens, heads or kvHeads, headDim]. */
export interface AttentionHost {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly dout: Float32Array;
}

/** Longest chain of which all rows are checked; of a longer one, its first tokens: they see nothing behind them. */
const MOST_ROWS = 1024;

const TOLERANCE = 1e-4;

/** Throws unless `results` are out, and then dq, dk and dv where there are gradients. */
export function checkAttention(
  spec: AttentionSpec,
  host: AttentionHost,
  results: readonly ArrayLike<number>[],
): void {
  const { chains, length, heads, kvHeads, headDim } = spec;
  const rows = Math.min(length, MOST_ROWS);
  const isWhole = rows === length;
  const first = (chains - 1) * length;
  const kvHead = kvHeads - 1;
  const group = heads / kvHeads;
  const key = (t: number): number => ((first + t) * kvHeads + kvHead) * headDim;
  const [out, dq, dk, dv] = results;
  const sums = { dk: new Float64Array(rows * headDim), dv: new Float64Array(rows * headDim) };
  for (let head = kvHead * group; head < heads; head++) {
    const query = (t: number): number => ((first + t) * heads + head) * headDim;
    for (let t = 0; t < rows; t++) {
      const row = attentionRow(host, headDim, query(t), key, t, sums);
      compare("out", spec, row.out, out, query(t));
      if (dq) compare("dq", spec, row.dq, dq, query(t));
    }
  }
  for (let t = 0; t < rows && isWhole; t++) {
    const part = (a: Float64Array): Float64Array => a.subarray(t * headDim, (t + 1) * headDim);
    if (dk) compare("dk", spec, part(sums.dk), dk, key(t));
    if (dv) compare("dv", spec, part(sums.dv), dv, key(t));
  }
}

/** One query: its output and gradient; what it adds to the gradients of the keys and values goes into `sums`. */
function attentionRow(
  { q, k, v, dout }: AttentionHost,
  headDim: number,
  at: number,
  key: (t: number) => number,
  t: number,
  sums: { readonly dk: Float64Array; readonly dv: Float64Array },
): { out: Float64Array; dq: Float64Array } {
  const scale = 1 / Math.sqrt(headDim);
  const scores = Float64Array.from(
    { length: t + 1 },
    (_, j) => scale * dot(q, at, k, key(j), headDim),
  );
  const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((s) => Math.exp(s - top));
  const total = weights.reduce((a, b) => a + b, 0);
  const out = new Float64Array(headDim);
  const dq = new Float64Array(headDim);
  weights.forEach((weight, j) => {
    for (let d = 0; d < headDim; d++)
      out[d] = Number(out[d]) + (weight / total) * Number(v[key(j) + d]);
  });
  const delta = dot(dout, at, out, 0, headDim);
  weights.forEach((weight, j) => {
    const p = weight / total;
    const ds = scale * p * (dot(dout, at, v, key(j), headDim) - delta);
    for (let d = 0; d < headDim; d++) {
      const to = j * headDim + d;
      dq[d] = Number(dq[d]) + ds * Number(k[key(j) + d]);
      sums.dk[to] = Number(sums.dk[to]) + ds * Number(q[at + d]);
      sums.dv[to] = Number(sums.dv[to]) + p * Number(dout[at + d]);
    }
  });
  return { out, dq };
}

function dot(
  a: ArrayLike<number>,
  at: number,
  b: ArrayLike<number>,
  bt: number,
  n: number,
): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += Number(a[at + i]) * Number(b[bt + i]);
  return sum;
}

function compare(
  what: string,
  spec: AttentionSpec,
  expected: Float64Array,
  actual: ArrayLike<number> | undefined,
  at: number,
): void {
  expected.forEach((value, i) => {
    const difference = Math.abs(value - Number(actual?.[at + i]));
    if (difference <= TOLERANCE * (1 + Math.abs(value))) return;
    const { chains, length, headDim } = spec;
    throw new Error(
      `attention ${chains}×${length} of ${headDim} is wrong: ${what}[${at + i}] is off by ${difference}`,
    );
  });
}
