/** What ops over rows share: where the rows of an operand lie. */
import type { Operand } from "../graph/kernel.ts";
import { type Layout, mergeAxes } from "../tensor/layout.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";

/** Rows of the last axis: all others, flattened. */
export function rowCount(shape: Shape): number {
  return sizeOf(shape.slice(0, -1));
}

/** Where rows lie in a buffer, in numbers: evenly apart, each contiguous; undefined when they do not. */
export function rowsOf({
  shape,
  strides,
  offset,
}: Layout): { offset: number; stride: number } | undefined {
  const cols = shape.at(-1) ?? 1;
  if (cols !== 1 && strides.at(-1) !== 1) return undefined;
  const lead = mergeAxes({ shape: shape.slice(0, -1), strides: strides.slice(0, -1), offset: 0 });
  if (lead.length > 1 || lead[0]?.stride === 0) return undefined;
  return { offset, stride: lead[0]?.stride ?? cols };
}

/** The rows of an operand that `takesRows` has admitted. */
export function operandRows(operand: Operand): { offset: number; stride: number } {
  return (
    rowsOf(operand.layout) ?? {
      offset: operand.layout.offset,
      stride: operand.layout.shape.at(-1) ?? 1,
    }
  );
}

/** Whether a layout has evenly spaced rows. */
export function takesRows(layout: Layout): boolean {
  return rowsOf(layout) !== undefined;
}
