/** Oracle of the loss of a value function, and of the entropy bonus. */
import { type Aggregation, at, clip, coefficients, type Loss, type Rows } from "./rl-losses.ts";

/** What {@link valueLoss} reads, all [sequences][tokens]. */
export interface ValueBatch {
  readonly values: Rows;
  readonly old: Rows;
  readonly returns: Rows;
  readonly mask: Rows;
}

/** ½·max((v − R)², (clip(v, v_old ± c) − R)²), with the gradient to v. Without a bound, ½·(v − R)². */
export function valueLoss(batch: ValueBatch, aggregation: Aggregation, bound = Infinity): Loss {
  const { values, old, returns, mask } = batch;
  let value = 0;
  const gradient = coefficients(mask, aggregation).map((row, i) =>
    row.map((weight, t) => {
      if (weight === 0) return 0;
      const [v, base] = [at(values, i, t), at(old, i, t)];
      const held = clip(v, base - bound, base + bound);
      const [error, heldError] = [v - at(returns, i, t), held - at(returns, i, t)];
      const isHeld = heldError ** 2 > error ** 2;
      value += (weight * (isHeld ? heldError : error) ** 2) / 2;
      return isHeld ? 0 : weight * error;
    }),
  );
  return { value, gradient };
}

/** −coefficient·Σ weight·H(softmax(logits)) over the tokens, with the gradient to the logits [tokens][vocabulary]. */
export function entropyBonus(logits: Rows, weights: ArrayLike<number>, coefficient: number): Loss {
  let value = 0;
  const gradient = logits.map((row, t) => {
    const largest = Math.max(...Array.from(row));
    const exps = Float64Array.from(row, (z) => Math.exp(z - largest));
    const logSum = Math.log(exps.reduce((sum, e) => sum + e, 0)) + largest;
    const logs = Float64Array.from(row, (z) => z - logSum);
    const entropy = -logs.reduce((sum, log) => sum + Math.exp(log) * log, 0);
    const scale = -coefficient * Number(weights[t]);
    value += scale * entropy;
    // dH/dz_j = −p_j·(log p_j + H)
    return logs.map((log) => -scale * Math.exp(log) * (log + entropy));
  });
  return { value, gradient };
}
