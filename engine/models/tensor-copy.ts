/** Values on their way between a tensor of a checkpoint and the parameter that it is some columns of. */
import type { HostArray } from "../tensor/dtype.ts";

/** Where a tensor's elements lie in a parameter [rows, stride]. */
export interface Placement {
  readonly rows: number;
  readonly stride: number;
  /** First column, and how many. */
  readonly start: number;
  readonly columns: number;
  /** Whether the tensor is [columns, rows] instead of [rows, columns]. */
  readonly isTransposed: boolean;
}

/** Copies elements `from`… of a tensor, in its own order, into the parameter. */
export function scatter(
  values: HostArray,
  from: number,
  placement: Placement,
  parameter: HostArray,
): void {
  eachRun(placement, from, values.length, (at, to, count, step) => {
    if (step === 1) parameter.set(values.subarray(at, at + count), to);
    else for (let i = 0; i < count; i++) parameter[to + i] = values[at + i * step] as number;
  });
}

/** The inverse of {@link scatter}: elements `from` … `from + values.length` of a tensor, out of the parameter. */
export function gather(
  parameter: HostArray,
  from: number,
  placement: Placement,
  values: HostArray,
): void {
  eachRun(placement, from, values.length, (at, to, count, step) => {
    if (step === 1) values.set(parameter.subarray(to, to + count), at);
    else for (let i = 0; i < count; i++) values[at + i * step] = parameter[to + i] as number;
  });
}

/** Elements at, at + step, … of the tensor's part are elements to, to + 1, … of the parameter. */
type Run = (at: number, to: number, count: number, step: number) => void;

/** Rows of a transposed tensor that are walked at once: lines of the parameter are then touched whole. */
const BLOCK = 32;

/** Calls `run` for stretches that are contiguous in the parameter and cover elements `from` … `from + length` of the tensor. */
function eachRun(placement: Placement, from: number, length: number, run: Run): void {
  const { rows, stride, start, columns, isTransposed } = placement;
  if (!isTransposed) {
    for (let at = 0; at < length; ) {
      const [row, column] = [Math.floor((from + at) / columns), (from + at) % columns];
      const count = Math.min(columns - column, length - at);
      run(at, row * stride + start + column, count, 1);
      at += count;
    }
    return;
  }
  // element e of the tensor is row e % rows, column e / rows of the parameter
  const single = (at: number): void =>
    run(at, ((from + at) % rows) * stride + start + Math.floor((from + at) / rows), 1, 1);
  let at = 0;
  const lead = Math.min((rows - (from % rows)) % rows, length);
  while (at < lead) single(at++);
  while (at + rows <= length) {
    const column = start + (from + at) / rows;
    const block = Math.min(BLOCK, Math.floor((length - at) / rows));
    for (let row = 0; row < rows; row++) run(at + row, row * stride + column, block, rows);
    at += block * rows;
  }
  while (at < length) single(at++);
}
