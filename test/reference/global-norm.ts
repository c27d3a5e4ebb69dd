/**
 * Oracle of `shaders/global-norm.wgsl` and `shaders/clip-factor.wgsl`: the norm of all gradients and the clipping factor.
 */

/** √Σx². f64 holds the squares of every f32. */
export function globalNorm(values: Iterable<number>): number {
  let sum = 0;
  for (const x of values) sum += x * x;
  return Math.sqrt(sum);
}

/** PyTorch's `clip_grad_norm_`: the factor on gradients; `maxNorm <= 0` does not clip. Undefined when the norm is not finite. */
export function clipFactor(norm: number, maxNorm: number, gradScale = 1): number | undefined {
  if (!Number.isFinite(norm)) return undefined;
  if (maxNorm <= 0) return gradScale;
  return gradScale * Math.min(1, maxNorm / (gradScale * norm + 1e-6));
}
