/**
 * Adam's bias corrections, computed on the host in f64 at every step.
 */

/**
 * `1 / (1 - beta^step)`.
 *
 * Written with expm1, since `1 - beta ** step` cancels where beta^step is close to 1. In f32 it would keep one digit at
 * beta = 0.999999, which is why the host computes it and not the kernel.
 *
 * @param step 1 for the first step
 */
export function biasCorrection(beta: number, step: number): number {
  return -1 / Math.expm1(step * Math.log(beta));
}
