/** Softmax, its logarithm and log-sum-exp over the rows of a contiguous [rows, cols] matrix, in double precision. */

export function logSumExp(rows: number, cols: number, x: ArrayLike<number>): Float64Array {
  const lse = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let top = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < cols; c++) top = Math.max(top, Number(x[row * cols + c]));
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += Math.exp(Number(x[row * cols + c]) - top);
    lse[row] = top + Math.log(sum);
  }
  return lse;
}

export function logSoftmax(rows: number, cols: number, x: ArrayLike<number>): Float64Array {
  const lse = logSumExp(rows, cols, x);
  return Float64Array.from(
    { length: rows * cols },
    (_, i) => Number(x[i]) - Number(lse[Math.floor(i / cols)]),
  );
}

export function softmax(rows: number, cols: number, x: ArrayLike<number>): Float64Array {
  return logSoftmax(rows, cols, x).map(Math.exp);
}

/** Gradient of x, given x. */
export function logSumExpBackward(
  rows: number,
  cols: number,
  x: ArrayLike<number>,
  dlse: ArrayLike<number>,
): Float64Array {
  return softmax(rows, cols, x).map((p, i) => p * Number(dlse[Math.floor(i / cols)]));
}

/** Gradient of x, given x. */
export function softmaxBackward(
  rows: number,
  cols: number,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
): Float64Array {
  const y = softmax(rows, cols, x);
  const sums = new Float64Array(rows);
  y.forEach((p, i) => {
    const row = Math.floor(i / cols);
    sums[row] = Number(sums[row]) + p * Number(dy[i]);
  });
  return y.map((p, i) => p * (Number(dy[i]) - Number(sums[Math.floor(i / cols)])));
}

/** Gradient of x, given x. */
export function logSoftmaxBackward(
  rows: number,
  cols: number,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
): Float64Array {
  const y = softmax(rows, cols, x);
  const sums = new Float64Array(rows);
  y.forEach((_p, i) => {
    const row = Math.floor(i / cols);
    sums[row] = Number(sums[row]) + Number(dy[i]);
  });
  return y.map((p, i) => Number(dy[i]) - p * Number(sums[Math.floor(i / cols)]));
}
