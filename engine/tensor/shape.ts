/** Shapes: sizes of each axis, outermost first. Rank 0 is a scalar. */
import { ForgeError } from "../error.ts";

/** Sizes of the axes, outermost first. */
export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((n, s) => n * s, 1);
}

/** True when both shapes have the same axes. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((s, i) => s === b[i]);
}

/** Row-major strides in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] ?? 1;
  }
  return strides;
}

/** `[2, 3] f32` style text for messages. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * The shape that operands broadcast to (NumPy's rule: align at the last axis; equal, or one of them 1).
 *
 * Errors    `shape_mismatch`.
 */
export function broadcastShapes(op: string, shapes: readonly Shape[]): Shape {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const axis = rank - shape.length + i;
      const size = shape[i] ?? 1;
      if (size === 1 || size === out[axis]) continue;
      if (out[axis] !== 1) {
        throw new ForgeError({
          code: "shape_mismatch",
          what: `${op}: shapes do not broadcast.`,
          got: shapes.map(formatShape).join(" · "),
          why: `axis ${axis} has sizes ${out[axis]} and ${size}; sizes must be equal or 1, aligned at the last axis`,
          fix: "reshape or transpose an operand so that the axes line up",
        });
      }
      out[axis] = size;
    }
  }
  return out;
}

/**
 * Axis counted from the front; negative axes count from the end.
 *
 * Errors    `rank_mismatch`.
 */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(axis) && at >= 0 && at < rank) return at;
  throw new ForgeError({
    code: "rank_mismatch",
    what: `${op}: there is no axis ${axis}.`,
    got: `a tensor of rank ${rank}`,
    why: `axes run from ${-rank} to ${rank - 1}`,
    fix: "pass an axis of the tensor",
  });
}

/** All axes, normalised, sorted and without repeats; undefined means every axis. */
export function normalizeAxes(
  op: string,
  axes: number | readonly number[] | undefined,
  rank: number,
): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === "number" ? [axes] : axes).map((a) => normalizeAxis(op, a, rank));
  return [...new Set(list)].sort((a, b) => a - b);
}

/**
 * A shape with at most one -1 resolved against the number of elements.
 *
 * Errors    `shape_mismatch`.
 */
export function resolveShape(op: string, shape: Shape, size: number): Shape {
  const known = shape.reduce((n, s) => (s === -1 ? n : n * s), 1);
  const holes = shape.filter((s) => s === -1).length;
  const resolved =
    holes === 1 && known > 0 ? shape.map((s) => (s === -1 ? size / known : s)) : shape;
  if (
    holes <= 1 &&
    resolved.every((s) => Number.isInteger(s) && s >= 0) &&
    sizeOf(resolved) === size
  )
    return resolved;
  throw new ForgeError({
    code: "shape_mismatch",
    what: `${op}: the new shape holds another number of elements.`,
    got: `${size} elements → ${formatShape(shape)}`,
    why: `${formatShape(shape)} holds ${holes ? `a multiple of ${known}` : known}`,
    fix: "correct the sizes; one of them may be -1",
  });
}
