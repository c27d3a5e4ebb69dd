/** Views: other layouts of the same elements. They cost no copy where a kernel can read strides. */
import { ForgeError } from "../error.ts";
import type { Movement } from "../tensor/layout.ts";
import {
  broadcastShapes,
  formatShape,
  normalizeAxis,
  resolveShape,
  type Shape,
  sameShape,
} from "../tensor/shape.ts";
import { makeTensor, type Tensor, viewOp } from "../tensor/tensor.ts";

function view(x: Tensor, movement: Movement, shape: Shape): Tensor {
  return makeTensor(viewOp, [x], { movement }, { shape, dtype: x.dtype });
}

/** The same elements in row-major order under another shape; one size may be -1. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const resolved = resolveShape("reshape", shape, x.size);
  return sameShape(resolved, x.shape) ? x : view(x, { kind: "reshape", shape: resolved }, resolved);
}

/** Axes in another order. Errors: `rank_mismatch` unless `axes` is a permutation. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const order = axes.map((a) => normalizeAxis("permute", a, x.rank));
  if (order.length !== x.rank || new Set(order).size !== x.rank) {
    throw new ForgeError({
      code: "rank_mismatch",
      what: "permute: the axes are no permutation.",
      got: `[${axes.join(", ")}] for a tensor of rank ${x.rank}`,
      fix: "name every axis once",
    });
  }
  if (order.every((a, i) => a === i)) return x;
  const shape = order.map((a) => x.shape[a] ?? 1);
  return view(x, { kind: "permute", axes: order }, shape);
}

/** Two axes exchanged; by default the last two. */
export function transpose(x: Tensor, a = -1, b = -2): Tensor {
  const axes = x.shape.map((_, i) => i);
  const [p, q] = [normalizeAxis("transpose", a, x.rank), normalizeAxis("transpose", b, x.rank)];
  [axes[p], axes[q]] = [q, p];
  return permute(x, axes);
}

/** Repeats axes of size 1 (NumPy broadcasting). Errors: `shape_mismatch`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const joint = broadcastShapes("broadcastTo", [x.shape, shape]);
  if (!sameShape(joint, shape)) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "broadcastTo: the tensor does not broadcast to the shape.",
      got: `${formatShape(x.shape)} → ${formatShape(shape)}`,
      fix: "only axes of size 1 repeat",
    });
  }
  return view(x, { kind: "expand", shape }, shape);
}

/** The part `[start, end)` of one axis; negative positions count from the end. Errors: `index_out_of_range`. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const at = normalizeAxis("slice", axis, x.rank);
  const size = x.shape[at] ?? 0;
  const from = start < 0 ? start + size : start;
  const to = end === undefined ? size : end < 0 ? end + size : end;
  if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= size)) {
    throw new ForgeError({
      code: "index_out_of_range",
      what: "slice: the range leaves the axis.",
      got: `[${start}, ${end ?? size}) of axis ${axis} with size ${size}`,
      fix: "keep 0 ≤ start ≤ end ≤ size",
    });
  }
  if (from === 0 && to === size) return x;
  const shape = x.shape.map((s, i) => (i === at ? to - from : s));
  const starts = x.shape.map((_, i) => (i === at ? from : 0));
  return view(x, { kind: "slice", starts, shape }, shape);
}

/** Parts of equal size along an axis. Errors: `shape_mismatch` when the axis does not divide. */
export function split(x: Tensor, axis: number, sizes: readonly number[]): Tensor[] {
  const at = normalizeAxis("split", axis, x.rank);
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== x.shape[at]) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "split: the sizes do not add up to the axis.",
      got: `[${sizes.join(", ")}] for axis ${axis} of ${formatShape(x.shape)}`,
      fix: "make the sizes add up",
    });
  }
  let start = 0;
  return sizes.map((s) => {
    const part = slice(x, at, start, start + s);
    start += s;
    return part;
  });
}

/** Removes axes of size 1: the one named, or all. */
export function squeeze(x: Tensor, axis?: number): Tensor {
  const at = axis === undefined ? undefined : normalizeAxis("squeeze", axis, x.rank);
  return reshape(
    x,
    x.shape.filter((s, i) => (at === undefined ? s !== 1 : i !== at || s !== 1)),
  );
}

/** Adds an axis of size 1 before `axis`; -1 adds it behind the last one. Errors: `rank_mismatch`. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

let barriers = 0;

/**
 * The same value as a new node that common-subexpression elimination keeps apart: what is computed from it is computed
 * again. Recomputation (`checkpoint`) needs it.
 */
export function recomputed(x: Tensor): Tensor {
  const movement: Movement = { kind: "reshape", shape: x.shape };
  return makeTensor(
    viewOp,
    [x],
    { movement, barrier: ++barriers },
    { shape: x.shape, dtype: x.dtype },
  );
}
