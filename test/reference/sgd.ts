/**
 * Oracle of `shaders/sgd.wgsl`: PyTorch's SGD with dampening 0, in f64.
 */

/** What one step needs besides the arrays. */
export interface SgdStep {
  readonly lr: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Factor on the gradient, from clipping. Default 1. */
  readonly multiplier?: number;
  /** lr scale and weight decay of element i. Default 1 and 0. */
  readonly groupOf?: (i: number) => { readonly lrScale: number; readonly weightDecay: number };
}

/** Updates param and v (the momentum, zeros at first) in place. */
export function sgdStep(
  param: Float64Array,
  grad: ArrayLike<number>,
  v: Float64Array,
  options: SgdStep,
): void {
  const { momentum, nesterov, multiplier = 1 } = options;
  for (let i = 0; i < param.length; i++) {
    const { lrScale, weightDecay } = options.groupOf?.(i) ?? { lrScale: 1, weightDecay: 0 };
    const g = multiplier * Number(grad[i]) + weightDecay * Number(param[i]);
    v[i] = momentum * Number(v[i]) + g;
    const direction = nesterov ? g + momentum * Number(v[i]) : Number(v[i]);
    param[i] = Number(param[i]) - options.lr * lrScale * direction;
  }
}
