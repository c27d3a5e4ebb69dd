/** The loss of PPO over a minibatch of steps. */
import {
  add,
  exp,
  logSoftmax,
  maximum,
  mul,
  sub,
  type Tensor,
  takeAlongAxis,
} from "../../engine/index.ts";

/** Steps as the update sees them: each a constant, one row a step. */
export type Minibatch = {
  /** [M, D] */
  readonly observations: Tensor;
  /** [M] u32 */
  readonly actions: Tensor;
  /** [M] log π of the actions under the policy that took them. */
  readonly oldLogprobs: Tensor;
  /** [M] */
  readonly advantages: Tensor;
  /** [M] Targets of the value function. */
  readonly returns: Tensor;
  /** [M] V under the critic that the advantages were computed with. */
  readonly oldValues: Tensor;
};

/** What the networks say of a minibatch now. */
export interface PpoPrediction {
  /** [M, A], differentiated. */
  readonly logits: Tensor;
  /** [M], differentiated. */
  readonly values: Tensor;
  /** [] How far the ratio of probabilities may be from 1, and with `clipVloss` the value from what it was. */
  readonly clipCoef: Tensor;
}

/** Coefficients of {@link ppoLoss}. */
export interface PpoLossOptions {
  /** Whether the value loss is clipped. */
  readonly clipVloss: boolean;
  readonly entCoef: number;
  readonly vfCoef: number;
}

/** Scalars; all but the first are for the eye. */
export type PpoLoss = {
  /** policyLoss − entCoef · entropy + vfCoef · valueLoss. */
  readonly loss: Tensor;
  readonly policyLoss: Tensor;
  readonly valueLoss: Tensor;
  /** Nats. */
  readonly entropy: Tensor;
  /** Mean of −log r, r = π / π_old: the first estimator of KL(π_old ‖ π). */
  readonly oldApproxKl: Tensor;
  /** Mean of (r − 1) − log r: the third. */
  readonly approxKl: Tensor;
  /** Share of the steps whose ratio is clipped. */
  readonly clipFraction: Tensor;
};

/**
 * mean max(−A·r, −A·clip(r, 1 − c, 1 + c)) − entCoef · H + vfCoef · ½ mean max((V − R)², (V_old + clip(V − V_old, ±c) − R)²).
 *
 * Source    Schulman et al. 2017, arXiv:1707.06347, eq. 7 and 9; the clipped value loss and all else as in CleanRL's ppo.py
 */
export function ppoLoss(
  minibatch: Minibatch,
  { logits, values, clipCoef }: PpoPrediction,
  { clipVloss, entCoef, vfCoef }: PpoLossOptions,
): PpoLoss {
  const { actions, oldLogprobs, advantages, returns, oldValues } = minibatch;
  const logprobs = logSoftmax(logits);
  const logRatio = takeAlongAxis(logprobs, actions.unsqueeze(1)).squeeze(1).sub(oldLogprobs);
  const ratio = exp(logRatio);
  const clipped = ratio.clamp(sub(1, clipCoef), add(1, clipCoef));
  const policyLoss = maximum(mul(advantages, ratio).neg(), mul(advantages, clipped).neg()).mean();

  const error = values.sub(returns).square();
  const held = oldValues.add(values.sub(oldValues).clamp(clipCoef.neg(), clipCoef));
  const worst = clipVloss ? maximum(error, held.sub(returns).square()) : error;
  const valueLoss = worst.mean().mul(0.5);

  const entropy = mul(exp(logprobs), logprobs).sum(1).neg().mean();
  const both = policyLoss.add(valueLoss.mul(vfCoef));
  return {
    loss: entCoef === 0 ? both : both.sub(entropy.mul(entCoef)),
    policyLoss,
    valueLoss,
    entropy,
    oldApproxKl: logRatio.neg().mean(),
    approxKl: ratio.sub(1).sub(logRatio).mean(),
    clipFraction: ratio.sub(1).abs().greater(clipCoef).cast("f32").mean(),
  };
}
