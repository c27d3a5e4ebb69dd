/** REINFORCE++: returns from each token on, whitened over the batch; no critic and no groups. */
import { reinforcePlusPlusAdvantage } from "../advantage/reinforce-plus-plus.ts";
import { tokenChains } from "../chains.ts";
import { perToken, tokenMask, tokenRewards } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link reinforcePlusPlus}. */
export type ReinforcePlusPlusOptions = AlgorithmOptions & {
  /** ε below 1. Default 0.2. */
  readonly clipLow?: number;
  /** ε above 1. Default 0.2. */
  readonly clipHigh?: number;
  /** Discount per token. Default 1. */
  readonly gamma?: number;
};

/**
 * Hu 2025, arXiv:2501.03262, §3, with PPO's clip and a mean over tokens. The reward of a step stands on its last token. The
 * paper prices every token's divergence in the reward: `kl: { in: "reward", kind: "k1", coefficient: 0.01 }`, the coefficient
 * of OpenRLHF; default none.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function reinforcePlusPlus(options: ReinforcePlusPlusOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, gamma = 1, ...own } = options;
  return defineAlgorithm(
    {
      name: "reinforce++",
      advantage: perToken((episodes) => ({
        advantages: reinforcePlusPlusAdvantage(
          episodes.map(tokenRewards),
          episodes.map(tokenMask),
          gamma,
          episodes.map(tokenChains),
        ),
      })),
      loss: { form: "clip", low: clipLow, high: clipHigh },
    },
    own,
  );
}
