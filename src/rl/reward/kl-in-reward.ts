/** A price for leaving the reference policy, paid token by token. */
import { type KlEstimator, klEstimate } from "../kl.ts";
import {
  checkFinite,
  checkMask,
  checkSameShape,
  finite,
  type Row,
  type Rows,
  within,
} from "../rows.ts";

/** What {@link klInReward} reads, all [samples][tokens]. */
export interface KlInRewardInput {
  readonly rewards: Rows;
  /** Log-probabilities under the policy that sampled the tokens. */
  readonly logprobs: Rows;
  /** Under the reference. */
  readonly reference: Rows;
  /** 1 for sampled tokens. */
  readonly mask: Rows;
}

/** Options of {@link klInReward}. */
export interface KlInRewardOptions {
  /** β. verl has 0.001, TRL's PPO 0.05. */
  readonly coefficient: number;
  /** Default k1. */
  readonly estimator?: KlEstimator;
}

/**
 * r_t − β·k(logπ_old − logπ_ref) on sampled tokens (Ouyang et al. 2022, arXiv:2203.02155, eq. 2, with the estimator as in
 * verl). Other tokens keep their rewards; their log-probabilities are not read.
 *
 * @returns [samples][tokens]
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for a mask of something else than 0 and 1
 */
export function klInReward(input: KlInRewardInput, options: KlInRewardOptions): Float64Array[] {
  const { rewards, logprobs, reference, mask } = input;
  const { coefficient, estimator = "k1" } = options;
  checkSameShape("kl in reward", { rewards, logprobs, reference, mask });
  checkMask("kl in reward", mask);
  finite("kl in reward: coefficient", coefficient);
  const priced = rewards.map((row, i) =>
    Float64Array.from(row, (reward, t) => {
      if ((mask[i] as Row)[t] === 0) return reward;
      const x = Number(logprobs[i]?.[t]) - Number(reference[i]?.[t]);
      return reward - coefficient * klEstimate(x, estimator);
    }),
  );
  checkFinite("kl in reward", priced);
  return priced;
}

/** Options of {@link adaptedKlCoefficient}. */
export interface KlTarget {
  /** KL in nats to be held. Default 0.1. */
  readonly target?: number;
  /** Samples over which the coefficient can change by a factor of about e^0.2. Default 10,000. */
  readonly horizon?: number;
}

/**
 * The coefficient after a batch: β·(1 + clip(kl/target − 1, ±0.2)·samples/horizon) (Ziegler et al. 2019,
 * arXiv:1909.08593, §2.2, as in verl).
 *
 * @param kl mean KL of the batch, in nats
 * @param samples of the batch
 * @throws ForgeError `non_finite`; `argument_invalid` for a target or a horizon of 0
 */
export function adaptedKlCoefficient(
  coefficient: number,
  kl: number,
  samples: number,
  options: KlTarget = {},
): number {
  const target = within("kl target", options.target ?? 0.1, Number.MIN_VALUE, Number.MAX_VALUE);
  const horizon = within("kl horizon", options.horizon ?? 10_000, 1, Number.MAX_VALUE);
  const error = Math.min(0.2, Math.max(-0.2, finite("kl", kl) / target - 1));
  return finite("kl coefficient", coefficient * (1 + (error * samples) / horizon));
}
