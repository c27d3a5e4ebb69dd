/**
 * Sizes at which kernels over rows are tested, and rows that lie apart.
 *
 * On a CPU driver a lane takes a row, 8 rows a workgroup, and adds in blocks of 64 Elements of 1 or 4 numbers; on hardware
 * 32 to 256 lanes take a row.
 */
import { type Tensor, tensor } from "../../engine/index.ts";
import { type Shape, sizeOf } from "../../engine/tensor/shape.ts";
import type { KernelClass } from "./evaluate.ts";

/** Where columns lie in the matrix that {@link columns} makes. */
export interface Place {
  /** Columns before them, and behind. */
  readonly before: number;
  readonly after: number;
}

/** A matrix to test with. */
export interface RowCase {
  /** For the name of the test. */
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  /** A row's place in a wider matrix. Default: none, rows are contiguous. */
  readonly place?: Place;
}

function of(rows: number, cols: number, place?: Place): RowCase {
  const name = `${rows} × ${cols}`;
  if (!place) return { name, rows, cols };
  return { name: `${name} between ${place.before} and ${place.after} columns`, rows, cols, place };
}

/** Size 1, odd sizes, one less and one more than lanes and blocks, rows that lie apart in steps of 4 and others. */
export const ROW_CASES: Record<KernelClass, readonly RowCase[]> = {
  software: [
    of(1, 1),
    of(7, 5),
    of(8, 32),
    of(9, 65),
    of(17, 260),
    of(3, 8, { before: 4, after: 8 }),
    of(3, 8, { before: 1, after: 2 }),
  ],
  hardware: [of(1, 1), of(3, 33), of(2, 260), of(3, 8, { before: 4, after: 8 })],
};

/** `values` as the rows of a case: [rows, cols]. */
export function rowTensor(values: Float32Array, { rows, cols, place }: RowCase): Tensor {
  return place ? columns(values, [rows, cols], place) : tensor(values, [rows, cols]);
}

/** `values` as some columns of a matrix that is NaN elsewhere: a view with a stride and an offset. */
export function columns(values: Float32Array, shape: Shape, { before, after }: Place): Tensor {
  const cols = shape.at(-1) ?? 1;
  const rows = sizeOf(shape) / cols;
  const width = before + cols + after;
  const all = new Float32Array(rows * width).fill(Number.NaN);
  for (let row = 0; row < rows; row++) {
    all.set(values.subarray(row * cols, (row + 1) * cols), row * width + before);
  }
  return tensor(all, [...shape.slice(0, -1), width]).slice(-1, before, before + cols);
}
