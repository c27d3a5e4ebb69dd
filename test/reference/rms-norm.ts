/**
 * Root-mean-square normalization in double precision: y = s · r · (weight + weightOffset) for each row of
 * s = x (+ residual), with r = 1 / √(mean of s² + eps).
 */

export interface RmsNormInput {
  readonly rows: number;
  readonly cols: number;
  readonly x: ArrayLike<number>;
  readonly residual?: ArrayLike<number>;
  readonly weight: ArrayLike<number>;
  readonly eps: number;
  readonly weightOffset?: number;
}

export interface RmsNormOutput {
  readonly y: Float64Array;
  readonly sum: Float64Array;
  readonly rstd: Float64Array;
}

export interface RmsNormGradient {
  readonly dx: Float64Array;
  readonly dweight: Float64Array;
}

export function rmsNorm(input: RmsNormInput): RmsNormOutput {
  const { rows, cols, x, residual, weight, eps, weightOffset = 0 } = input;
  const y = new Float64Array(rows * cols);
  const sum = new Float64Array(rows * cols);
  const rstd = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    let squares = 0;
    for (let c = 0; c < cols; c++) {
      const s = Number(x[start + c]) + Number(residual?.[start + c] ?? 0);
      sum[start + c] = s;
      squares += s * s;
    }
    const r = 1 / Math.sqrt(squares / cols + eps);
    for (let c = 0; c < cols; c++) {
      y[start + c] = Number(sum[start + c]) * r * (Number(weight[c]) + weightOffset);
    }
    rstd[row] = r;
  }
  return { y, sum, rstd };
}

/** Gradient for `dy` (of y) and `dsum` (of the sum, when it is used further on); dx is also the residual's gradient. */
export function rmsNormBackward(
  input: RmsNormInput,
  dy: ArrayLike<number>,
  dsum?: ArrayLike<number>,
): RmsNormGradient {
  const { rows, cols, weight, weightOffset = 0 } = input;
  const { sum, rstd } = rmsNorm(input);
  const dx = new Float64Array(rows * cols);
  const dweight = new Float64Array(cols);
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    const r = Number(rstd[row]);
    let guMean = 0;
    for (let c = 0; c < cols; c++) {
      const d = Number(dy[start + c]);
      const u = Number(sum[start + c]) * r;
      guMean += (d * (Number(weight[c]) + weightOffset) * u) / cols;
      dweight[c] = Number(dweight[c]) + d * u;
    }
    for (let c = 0; c < cols; c++) {
      const g = Number(dy[start + c]) * (Number(weight[c]) + weightOffset);
      const u = Number(sum[start + c]) * r;
      dx[start + c] = r * (g - u * guMean) + Number(dsum?.[start + c] ?? 0);
    }
  }
  return { dx, dweight };
}
