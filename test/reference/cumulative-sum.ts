/** Running sums along the rows of a contiguous [rows, cols] matrix, in double precision. */
export function cumulativeSum(rows: number, cols: number, x: ArrayLike<number>): Float64Array {
  const y = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) {
      sum += Number(x[row * cols + c]);
      y[row * cols + c] = sum;
    }
  }
  return y;
}

/** Gradient of x: running sums of dy from the back. */
export function cumulativeSumBackward(
  rows: number,
  cols: number,
  dy: ArrayLike<number>,
): Float64Array {
  const dx = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let c = cols - 1; c >= 0; c--) {
      sum += Number(dy[row * cols + c]);
      dx[row * cols + c] = sum;
    }
  }
  return dx;
}
