/**
 * Oracle of `shaders/adamw.wgsl`: the step as published, with v itself, in f64.
 */

/** What one step needs besides the arrays. */
export interface AdamWStep {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** 1 for the first step. */
  readonly step: number;
  /** Factor on the gradient, from clipping. Default 1. */
  readonly multiplier?: number;
  /** lr scale and weight decay of element i. Default 1 and 0. */
  readonly groupOf?: (i: number) => { readonly lrScale: number; readonly weightDecay: number };
}

/** Updates param, m and v in place. */
export function adamwStep(
  param: Float64Array,
  grad: ArrayLike<number>,
  m: Float64Array,
  v: Float64Array,
  options: AdamWStep,
): void {
  const { beta1, beta2, epsilon, step, multiplier = 1 } = options;
  // Not 1 - Math.pow(beta, step): that loses digits for beta close to 1.
  const unbiasM = -1 / Math.expm1(step * Math.log(beta1));
  const unbiasV = -1 / Math.expm1(step * Math.log(beta2));
  for (let i = 0; i < param.length; i++) {
    const { lrScale, weightDecay } = options.groupOf?.(i) ?? { lrScale: 1, weightDecay: 0 };
    const g = multiplier * Number(grad[i]);
    const lr = options.lr * lrScale;
    m[i] = beta1 * Number(m[i]) + (1 - beta1) * g;
    v[i] = beta2 * Number(v[i]) + (1 - beta2) * g * g;
    const scale = Math.sqrt(Number(v[i]) * unbiasV) + epsilon;
    const direction = scale > 0 ? (Number(m[i]) * unbiasM) / scale : 0;
    param[i] = Number(param[i]) - lr * (direction + weightDecay * Number(param[i]));
  }
}
