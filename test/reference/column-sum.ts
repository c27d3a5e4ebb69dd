/** Sums over the rows of a contiguous [rows, cols] matrix, in double precision. */
export function columnSum(rows: number, cols: number, x: ArrayLike<number>): Float64Array {
  const y = new Float64Array(cols);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < cols; c++) y[c] = Number(y[c]) + Number(x[row * cols + c]);
  }
  return y;
}
