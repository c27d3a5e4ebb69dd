/**
 * Matrix product in f64, by the definition: what every variant of shaders/matmul*.wgsl is checked against.
 *
 * Operands are addressed by strides, as the kernels address them: element (i, k) of a in batch (outer, inner) is
 * `a[offsetA + outer·outerA + inner·innerA + i·aRow + k·aK]`, and so on. A transposed operand is a matter of strides,
 * a broadcast batch one of a stride of zero.
 */
import { array, broadcastShape, count, expand, type NdArray } from "./array.ts";

/** Sizes, strides and offsets, in elements. */
export interface MatmulLayout {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batchOuter: number;
  readonly batchInner: number;
  readonly aRow: number;
  readonly aK: number;
  readonly bK: number;
  readonly bCol: number;
  readonly cRow: number;
  readonly offsetA: number;
  readonly offsetB: number;
  readonly offsetC: number;
  readonly outerA: number;
  readonly innerA: number;
  readonly outerB: number;
  readonly innerB: number;
  readonly outerC: number;
  readonly innerC: number;
}

/** Calls `visit` with the indices of every product a·b and of the element of c that it is summed into. */
function eachProduct(x: MatmulLayout, visit: (a: number, b: number, c: number) => void): void {
  for (let outer = 0; outer < x.batchOuter; outer++) {
    for (let inner = 0; inner < x.batchInner; inner++) {
      const a = x.offsetA + outer * x.outerA + inner * x.innerA;
      const b = x.offsetB + outer * x.outerB + inner * x.innerB;
      const c = x.offsetC + outer * x.outerC + inner * x.innerC;
      for (let i = 0; i < x.m; i++) {
        for (let j = 0; j < x.n; j++) {
          for (let k = 0; k < x.k; k++) {
            visit(a + i * x.aRow + k * x.aK, b + k * x.bK + j * x.bCol, c + i * x.cRow + j);
          }
        }
      }
    }
  }
}

/** Adds a · b to `c`, in place. */
export function matmulForward(
  layout: MatmulLayout,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  c: Float64Array,
): void {
  eachProduct(layout, (ia, ib, ic) => {
    c[ic] = (c[ic] ?? 0) + (a[ia] ?? 0) * (b[ib] ?? 0);
  });
}

/** Adds the gradients of a and b, given that of c, to `da` and `db`; where a batch is broadcast, its gradients add up. */
export function matmulBackward(
  layout: MatmulLayout,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  dc: ArrayLike<number>,
  da: Float64Array,
  db: Float64Array,
): void {
  eachProduct(layout, (ia, ib, ic) => {
    const d = dc[ic] ?? 0;
    da[ia] = (da[ia] ?? 0) + d * (b[ib] ?? 0);
    db[ib] = (db[ib] ?? 0) + d * (a[ia] ?? 0);
  });
}

function layoutOf(m: number, n: number, k: number, batch: number): MatmulLayout {
  return {
    ...{ m, n, k, batchOuter: 1, batchInner: batch },
    ...{ aRow: k, aK: 1, bK: n, bCol: 1, cRow: n },
    ...{ offsetA: 0, offsetB: 0, offsetC: 0, outerA: 0, outerB: 0, outerC: 0 },
    ...{ innerA: m * k, innerB: k * n, innerC: m * n },
  };
}

/** Operands with one batch, and how the oracle addresses them. */
export interface AlignedMatmul {
  readonly a: NdArray;
  readonly b: NdArray;
  readonly layout: MatmulLayout;
  readonly shape: readonly number[];
}

/** Both operands with the batch that they broadcast to written out. */
export function alignMatmul(a: NdArray, b: NdArray): AlignedMatmul {
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape.at(-1) as number;
  const batch = broadcastShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]) as number[];
  return {
    a: expand(a, [...batch, m, k]),
    b: expand(b, [...batch, k, n]),
    layout: layoutOf(m, n, k, count(batch)),
    shape: [...batch, m, n],
  };
}

/** The product of the last two axes, with broadcast batches. */
export function matmulArrays(left: NdArray, right: NdArray): NdArray {
  const { a, b, layout, shape } = alignMatmul(left, right);
  const c = new Float64Array(count(shape));
  matmulForward(layout, a.data, b.data, c);
  return array(shape, c);
}
