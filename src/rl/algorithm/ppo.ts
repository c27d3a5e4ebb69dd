/** PPO: a clipped ratio, and a critic that says what was to be expected at every token. */
import { gaeAdvantage } from "../advantage/gae.ts";
import { tokenChains } from "../chains.ts";
import { perToken, tokenMask, tokenRewards, tokenValues } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link ppo}. */
export type PpoOptions = AlgorithmOptions & {
  /** ε below 1. Default 0.2. */
  readonly clipLow?: number;
  /** ε above 1. Default 0.2. */
  readonly clipHigh?: number;
  /** Bound on the ratio where A < 0, of arXiv:1912.09729. Default none; verl has 3. */
  readonly dualClip?: number;
  /** Discount per token. Default 1. */
  readonly gamma?: number;
  /** λ of GAE. Default 0.95, as TRL and CleanRL; verl has 1. */
  readonly lambda?: number;
  /** Whether advantages are whitened over the step. Default true. */
  readonly whiten?: boolean;
};

/**
 * Schulman et al. 2017, arXiv:1707.06347, eq. 7, with GAE (arXiv:1506.02438) over the tokens of an episode; the reward of a
 * step stands on its last token. Mean over tokens, as in verl.
 *
 * Critic: a head, its loss times 0.1 as in TRL, values clipped at 0.2 as in TRL, SkyRL and slime. Four passes over the
 * samples, as in TRL and CleanRL. No price for leaving the reference; TRL has 0.05 of k1 in the reward.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function ppo(options: PpoOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, dualClip, ...rest } = options;
  const { gamma = 1, lambda = 0.95, whiten = true, ...own } = rest;
  return defineAlgorithm(
    {
      name: "ppo",
      advantage: perToken((episodes) =>
        gaeAdvantage(
          {
            rewards: episodes.map(tokenRewards),
            values: episodes.map(tokenValues),
            mask: episodes.map(tokenMask),
            chains: episodes.map(tokenChains),
          },
          { gamma, lambda, whiten },
        ),
      ),
      loss: {
        form: "clip",
        low: clipLow,
        high: clipHigh,
        ...(dualClip !== undefined && { dual: dualClip }),
      },
      critic: { coefficient: 0.1, clip: 0.2, model: "head" },
      epochs: 4,
    },
    own,
  );
}
