/** Column of the first largest element of each row of a contiguous [rows, cols] matrix. */
export function argMax(rows: number, cols: number, x: ArrayLike<number>): Uint32Array {
  const y = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    let best = 0;
    for (let c = 1; c < cols; c++) {
      if (Number(x[row * cols + c]) > Number(x[row * cols + best])) best = c;
    }
    y[row] = best;
  }
  return y;
}
