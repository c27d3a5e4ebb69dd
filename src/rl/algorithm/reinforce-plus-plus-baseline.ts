/** REINFORCE++ with a baseline: rewards against their group's mean, whitened over the batch. */
import { reinforcePlusPlusBaselineAdvantage } from "../advantage/reinforce-plus-plus-baseline.ts";
import type { SingleRule } from "../groups.ts";
import { bySteps, episodeReward, tokenMask } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link reinforcePlusPlusBaseline}. */
export type ReinforcePlusPlusBaselineOptions = AlgorithmOptions & {
  /** ε below 1. Default 0.2. */
  readonly clipLow?: number;
  /** ε above 1. Default 0.2. */
  readonly clipHigh?: number;
  /** What an episode alone in its group gets before whitening. Default its reward. */
  readonly single?: SingleRule;
};

/**
 * Hu 2025, arXiv:2501.03262, §3.3, with PPO's clip and a mean over tokens. No price for leaving the reference.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function reinforcePlusPlusBaseline(
  options: ReinforcePlusPlusBaselineOptions = {},
): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, single = "reward", ...own } = options;
  return defineAlgorithm(
    {
      name: "reinforce++-baseline",
      advantage: (episodes) => {
        const groups = episodes.map(({ group }) => group);
        const [rewards, mask] = [episodes.map(episodeReward), episodes.map(tokenMask)];
        const rows = reinforcePlusPlusBaselineAdvantage(rewards, groups, mask, single);
        return {
          advantages: rows.map((row, i) => bySteps(row, episodes[i] as (typeof episodes)[0])),
        };
      },
      loss: { form: "clip", low: clipLow, high: clipHigh },
    },
    own,
  );
}
