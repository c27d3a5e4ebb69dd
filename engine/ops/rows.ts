/** What ops over rows share: where the rows of an operand lie, and the checks of their arguments. */
import { ForgeError } from "../error.ts";
import type { LowerContext, Operand } from "../graph/kernel.ts";
import { type Layout, mergeAxes } from "../tensor/layout.ts";
import { formatShape, normalizeAxis, type Shape, sameShape, sizeOf } from "../tensor/shape.ts";
import type { Node, Tensor } from "../tensor/tensor.ts";
import type { FullView } from "./row-variants.ts";
import { permute, unsqueeze } from "./view.ts";

/** Rows of the last axis: all others, flattened. */
export function rowCount(shape: Shape): number {
  return sizeOf(shape.slice(0, -1));
}

/**
 * Where rows lie in a buffer, in numbers: each contiguous, in groups that lie evenly apart; undefined when they do not.
 * Rows that lie evenly apart are groups of one.
 */
function rowsOf({ shape, strides, offset }: Layout): FullView | undefined {
  const cols = shape.at(-1) ?? 1;
  if (cols !== 1 && strides.at(-1) !== 1) return undefined;
  const lead = mergeAxes({ shape: shape.slice(0, -1), strides: strides.slice(0, -1), offset: 0 });
  const [outer, inner] = lead;
  if (lead.length > 2 || outer?.stride === 0) return undefined;
  if (!inner) return { offset, stride: outer?.stride ?? cols, group: 1 };
  return inner.stride === cols
    ? { offset, stride: outer?.stride ?? 0, group: inner.size }
    : undefined;
}

/** The rows of an operand that {@link takesRows} or {@link takesRowGroups} has admitted. */
export function operandRows({ layout }: Operand): FullView {
  return rowsOf(layout) ?? { offset: layout.offset, stride: layout.shape.at(-1) ?? 1, group: 1 };
}

/** Whether a layout has evenly spaced rows. */
export function takesRows(layout: Layout): boolean {
  return rowsOf(layout)?.group === 1;
}

/** Whether a layout has evenly spaced rows, or evenly spaced groups of contiguous rows (the heads of each token). */
export function takesRowGroups(layout: Layout): boolean {
  return rowsOf(layout) !== undefined;
}

/** The rows of input `i` as the kernels' tables take them: how many, how long, and where. */
export function inputRows(
  context: LowerContext,
  node: Node,
  i = 0,
): FullView & { readonly rows: number; readonly cols: number } {
  const shape = node.inputs[i]?.shape ?? [];
  return { rows: rowCount(shape), cols: shape.at(-1) ?? 1, ...operandRows(context.input(i)) };
}

/** Applies an op of rows along any axis. Errors: `rank_mismatch`. */
export function mapAxis(op: string, x: Tensor, axis: number, apply: (x: Tensor) => Tensor): Tensor {
  const at = normalizeAxis(op, axis, x.rank);
  return axisBack(apply(axisLast(x, at)), at);
}

/** Applies an op that makes one element of a row along any axis. Errors: `rank_mismatch`; `shape_mismatch` when it is empty. */
export function reduceAxis(
  op: string,
  x: Tensor,
  axis: number,
  { keepDims = false }: { readonly keepDims?: boolean },
  apply: (x: Tensor) => Tensor,
): Tensor {
  const at = normalizeAxis(op, axis, x.rank);
  if (x.shape[at] === 0) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: `${op}: the axis has no elements.`,
      got: `axis ${axis} of ${formatShape(x.shape)}`,
      fix: "check the size before",
    });
  }
  const y = apply(axisLast(x, at));
  return keepDims ? unsqueeze(y, at) : y;
}

/** Axis `at` last, the others in order. */
export function axisLast(x: Tensor, at: number): Tensor {
  const others = x.shape.map((_, i) => i).filter((i) => i !== at);
  return permute(x, [...others, at]);
}

/** The last axis back at `at`: the reverse of {@link axisLast}. */
export function axisBack(x: Tensor, at: number): Tensor {
  const axes = x.shape.map((_, i) => i);
  const last = axes.pop() as number;
  axes.splice(at, 0, last);
  return permute(x, axes);
}

/** The operands of a norm: a residual like x, vectors as long as a row. Errors: `rank_mismatch`; `shape_mismatch`. */
export function checkNorm(
  op: string,
  x: Tensor,
  { residual, vectors }: { residual: Tensor | undefined; vectors: readonly Tensor[] },
): void {
  normalizeAxis(op, -1, x.rank);
  const cols = x.shape.at(-1);
  const fits =
    (!residual || sameShape(residual.shape, x.shape)) &&
    vectors.every((v) => v.rank === 1 && v.size === cols);
  if (fits) return;
  const named = [x, ...vectors, ...(residual ? [residual] : [])];
  throw new ForgeError({
    code: "shape_mismatch",
    what: `${op}: the operands do not fit together.`,
    got: named.map((t) => formatShape(t.shape)).join(" · "),
    why: `weight and bias must be as long as a row (${cols}), a residual shaped like x`,
    fix: "check the width of the layer before",
  });
}
