/**
 * Layer normalization in double precision: y = (s - m) · r · (weight + weightOffset) (+ bias) for each row of
 * s = x (+ residual), with m its mean and r = 1 / √(variance + eps).
 */

export interface LayerNormInput {
  readonly rows: number;
  readonly cols: number;
  readonly x: ArrayLike<number>;
  readonly residual?: ArrayLike<number>;
  readonly weight: ArrayLike<number>;
  readonly bias?: ArrayLike<number>;
  readonly eps: number;
  readonly weightOffset?: number;
}

export interface LayerNormOutput {
  readonly y: Float64Array;
  readonly sum: Float64Array;
  readonly mean: Float64Array;
  readonly rstd: Float64Array;
}

export interface LayerNormGradient {
  readonly dx: Float64Array;
  readonly dweight: Float64Array;
  readonly dbias: Float64Array;
}

export function layerNorm(input: LayerNormInput): LayerNormOutput {
  const { rows, cols, x, residual, weight, bias, eps, weightOffset = 0 } = input;
  const y = new Float64Array(rows * cols);
  const sum = new Float64Array(rows * cols);
  const mean = new Float64Array(rows);
  const rstd = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    let total = 0;
    for (let c = 0; c < cols; c++) {
      const s = Number(x[start + c]) + Number(residual?.[start + c] ?? 0);
      sum[start + c] = s;
      total += s;
    }
    const m = total / cols;
    let squares = 0;
    for (let c = 0; c < cols; c++) squares += (Number(sum[start + c]) - m) ** 2;
    const r = 1 / Math.sqrt(squares / cols + eps);
    for (let c = 0; c < cols; c++) {
      const unit = (Number(sum[start + c]) - m) * r;
      y[start + c] = unit * (Number(weight[c]) + weightOffset) + Number(bias?.[c] ?? 0);
    }
    mean[row] = m;
    rstd[row] = r;
  }
  return { y, sum, mean, rstd };
}

/** Gradient for `dy` (of y) and `dsum` (of the sum, when it is used further on); dx is also the residual's gradient. */
export function layerNormBackward(
  input: LayerNormInput,
  dy: ArrayLike<number>,
  dsum?: ArrayLike<number>,
): LayerNormGradient {
  const { rows, cols, weight, weightOffset = 0 } = input;
  const { sum, mean, rstd } = layerNorm(input);
  const dx = new Float64Array(rows * cols);
  const dweight = new Float64Array(cols);
  const dbias = new Float64Array(cols);
  for (let row = 0; row < rows; row++) {
    const start = row * cols;
    const m = Number(mean[row]);
    const r = Number(rstd[row]);
    let gMean = 0;
    let guMean = 0;
    for (let c = 0; c < cols; c++) {
      const d = Number(dy[start + c]);
      const u = (Number(sum[start + c]) - m) * r;
      const g = d * (Number(weight[c]) + weightOffset);
      gMean += g / cols;
      guMean += (g * u) / cols;
      dweight[c] = Number(dweight[c]) + d * u;
      dbias[c] = Number(dbias[c]) + d;
    }
    for (let c = 0; c < cols; c++) {
      const u = (Number(sum[start + c]) - m) * r;
      const g = Number(dy[start + c]) * (Number(weight[c]) + weightOffset);
      dx[start + c] = r * (g - gMean - u * guMean) + Number(dsum?.[start + c] ?? 0);
    }
  }
  return { dx, dweight, dbias };
}
