/** Elements by position along an axis. */
import { ForgeError } from "../error.ts";
import { gatherOp } from "../graph/expression.ts";
import { contiguousStrides, formatShape, normalizeAxis } from "../tensor/shape.ts";
import { makeTensor, type Node, type Tensor } from "../tensor/tensor.ts";
import { bitcast, cast, equal, where } from "./elementwise.ts";
import { embedding } from "./embedding.ts";
import { asIndices } from "./indices.ts";
import { iota } from "./iota.ts";
import { sum } from "./reduce.ts";
import { permute, reshape, unsqueeze } from "./view.ts";

/** 1 at the index, 0 elsewhere. Shapes: indices [...] u32 or i32 → [..., classes] f32. */
export function oneHot(indices: Tensor, classes: number): Tensor {
  const at = unsqueeze(bitcast(asIndices("oneHot", "indices", indices), "u32"), -1);
  return cast(equal(iota([...indices.shape, classes]), at), "f32");
}

/**
 * `y[…, j, …] = x[…, indices[…, j, …], …]` along an axis (PyTorch's `gather`).
 *
 * It is computed inside the kernel that uses it. Positions beyond the axis are clamped to its end.
 *
 * Shapes    x [..., C, ...], indices [..., K, ...] u32 or i32, equal outside of the axis → the shape of indices.
 * Gradient  dx[c] = Σ_j dy[j] where indices[j] = c: K reads for each element of x, in a fixed order.
 * Errors    `shape_mismatch`; `dtype_mismatch` for indices that are no integers.
 */
export function takeAlongAxis(x: Tensor, indices: Tensor, axis = -1): Tensor {
  const at = normalizeAxis("takeAlongAxis", axis, x.rank);
  const fits =
    indices.rank === x.rank && indices.shape.every((s, i) => i === at || s === x.shape[i]);
  if (!fits) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "takeAlongAxis: the indices do not fit the tensor.",
      got: `x ${formatShape(x.shape)} · indices ${formatShape(indices.shape)}`,
      why: `all axes but ${at} must agree`,
      fix: "broadcast the indices",
    });
  }
  const inputs = [x, bitcast(asIndices("takeAlongAxis", "indices", indices), "u32")];
  return makeTensor(gatherOp, inputs, { axis: at }, { shape: indices.shape, dtype: x.dtype });
}

(gatherOp as { gradient: NonNullable<typeof gatherOp.gradient> }).gradient = (
  node: Node,
  [dy]: readonly (Tensor | undefined)[],
) => {
  const [x, indices] = node.inputs as readonly [Tensor, Tensor];
  if (!dy) return [undefined, undefined];
  const axis = node.attributes["axis"] as number;
  // [..., C, ..., K]: compare every position with every index, and sum over the indices
  const last = [...x.shape.keys()].filter((a) => a !== axis);
  const spread = (t: Tensor): Tensor => unsqueeze(permute(t, [...last, axis]), -2);
  const lead = last.map((a) => x.shape[a] ?? 1);
  const [classes, count] = [x.shape[axis] ?? 1, indices.shape[axis] ?? 1];
  const hit = equal(iota([...lead, classes, count], -2), spread(indices));
  const dx = sum(where(hit, spread(dy), 0), -1);
  const inverse = x.shape.map((_, a) => (a === axis ? last.length : last.indexOf(a)));
  return [permute(dx, inverse), undefined];
};

/**
 * Rows of `x` along its first axis, by position.
 *
 * Shapes    x [V, ...] f32, indices [...] u32 or i32 → [..., ...].
 * Gradient  summed by position in ascending order, without atomics (that of `embedding`, which this is).
 * Errors    as `embedding`.
 */
export function take(x: Tensor, indices: Tensor): Tensor {
  const row = x.shape.slice(1);
  const width = contiguousStrides([1, ...row])[0] ?? 1;
  const rows = embedding(indices, reshape(x, [x.shape[0] ?? 0, width]));
  return reshape(rows, [...indices.shape, ...row]);
}
