/** The k largest elements of each row of a contiguous [rows, cols] matrix, largest first, lower column first among equals. */
export function topK(
  rows: number,
  cols: number,
  k: number,
  x: ArrayLike<number>,
): { readonly values: Float64Array; readonly indices: Uint32Array } {
  const values = new Float64Array(rows * k);
  const indices = new Uint32Array(rows * k);
  for (let row = 0; row < rows; row++) {
    const at = (c: number): number => Number(x[row * cols + c]);
    const order = Array.from({ length: cols }, (_, c) => c).sort((a, b) => at(b) - at(a) || a - b);
    for (let j = 0; j < k; j++) {
      const c = order[j] ?? 0;
      values[row * k + j] = at(c);
      indices[row * k + j] = c;
    }
  }
  return { values, indices };
}

/** Gradient of x: dvalues put back where the values came from. */
export function topKBackward(
  rows: number,
  cols: number,
  k: number,
  indices: ArrayLike<number>,
  dvalues: ArrayLike<number>,
): Float64Array {
  const dx = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < k; j++) {
      dx[row * cols + Number(indices[row * k + j])] = Number(dvalues[row * k + j]);
    }
  }
  return dx;
}
