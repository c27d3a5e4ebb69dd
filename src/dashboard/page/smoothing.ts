/** Smoother curves. */

/**
 * The exponential moving average of values, without the pull of its first one: Σ aⁱ·v / Σ aⁱ over what came before, a the
 * amount from 0 to 1. Missing values stay missing and weigh nothing.
 */
export function smoothed(values: readonly (number | null)[], amount: number): (number | null)[] {
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    sum = amount * sum + value;
    weight = amount * weight + 1;
    return sum / weight;
  });
}
