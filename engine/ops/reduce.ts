/** Reductions over axes. */
import { ForgeError } from "../error.ts";
import type { ReduceKind, ReduceOp } from "../graph/kernel.ts";
import { formatShape, normalizeAxes, sizeOf } from "../tensor/shape.ts";
import { makeTensor, type Node, type Tensor } from "../tensor/tensor.ts";
import { cast, div, equal, mul, square, sub } from "./elementwise.ts";
import { broadcastTo, reshape } from "./view.ts";

/** Axes to reduce: one, several, or (undefined) all. */
export type Axes = number | readonly number[] | undefined;

/** Options of reductions. */
export interface ReduceOptions {
  /** Keep reduced axes with size 1. Default false. */
  readonly keepDims?: boolean;
}

function defineReduce(
  reduction: ReduceKind,
  gradient: NonNullable<ReduceOp["gradient"]>,
): ReduceOp {
  return { name: reduction, kind: "reduce", reduction, gradient };
}

const sumOp = defineReduce("sum", (node, [dy]) => {
  const [x] = node.inputs as readonly [Tensor];
  return [dy && broadcastTo(dy, x.shape)];
});

/** Ties share the gradient equally, as in PyTorch's `amax`. */
function extremeGradient(
  node: Node,
  [dy]: readonly (Tensor | undefined)[],
): (Tensor | undefined)[] {
  if (!dy) return [undefined];
  const [x] = node.inputs as readonly [Tensor];
  const axes = node.attributes["axes"] as readonly number[];
  const op = node.op as ReduceOp;
  const hit = cast(equal(x, broadcastTo(reduceNode(op, x, axes), x.shape)), x.dtype);
  const share = div(dy, sum(hit, axes, { keepDims: true }));
  return [mul(hit, broadcastTo(share, x.shape))];
}

const maxOp = defineReduce("max", extremeGradient);
const minOp = defineReduce("min", extremeGradient);
/** Valid where no factor is zero. */
const productOp = defineReduce("product", (node, [dy]) => {
  const [x] = node.inputs as readonly [Tensor];
  const y = reduceNode(node.op as ReduceOp, x, node.attributes["axes"] as readonly number[]);
  return [dy && div(broadcastTo(mul(dy, y), x.shape), x)];
});

function reduceNode(op: ReduceOp, x: Tensor, axes: readonly number[]): Tensor {
  const shape = x.shape.map((s, i) => (axes.includes(i) ? 1 : s));
  return makeTensor(op, [x], { axes }, { shape, dtype: x.dtype });
}

function reduce(op: ReduceOp, x: Tensor, axes: Axes, options: ReduceOptions): Tensor {
  const list = normalizeAxes(op.name, axes, x.rank);
  if (x.size === 0 && op.reduction !== "sum" && op.reduction !== "product") {
    throw new ForgeError({
      code: "shape_mismatch",
      what: `${op.name}: the tensor has no elements.`,
      got: formatShape(x.shape),
      fix: "check the size before reducing",
    });
  }
  const kept = list.length === 0 ? x : reduceNode(op, x, list);
  if (options.keepDims) return kept;
  return reshape(
    kept,
    x.shape.filter((_, i) => !list.includes(i)),
  );
}

/** Sum over axes, in f32 for f16 tensors. Gradient: dx = dy, repeated. */
export function sum(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return reduce(sumOp, x, axes, options);
}

/** Product over axes. Gradient: dx = dy · y / x, valid where x ≠ 0. */
export function product(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return reduce(productOp, x, axes, options);
}

/** Largest element over axes. Gradient: shared equally by ties. */
export function max(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return reduce(maxOp, x, axes, options);
}

/** Smallest element over axes. Gradient: shared equally by ties. */
export function min(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return reduce(minOp, x, axes, options);
}

function countOf(x: Tensor, axes: Axes): number {
  return sizeOf(normalizeAxes("mean", axes, x.rank).map((a) => x.shape[a] ?? 1));
}

/** Arithmetic mean over axes. */
export function mean(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor {
  return mul(sum(x, axes, options), 1 / countOf(x, axes));
}

/** Options of {@link variance}. */
export interface VarianceOptions extends ReduceOptions {
  /** Subtracted from the count: 0 for the population (default), 1 for Bessel's correction. */
  readonly correction?: number;
}

/** Variance over axes, by two passes: Σ (x − mean)² / (n − correction). */
export function variance(x: Tensor, axes?: Axes, options: VarianceOptions = {}): Tensor {
  const centred = sub(x, mean(x, axes, { keepDims: true }));
  const n = countOf(x, axes) - (options.correction ?? 0);
  return mul(sum(square(centred), axes, options), 1 / n);
}
