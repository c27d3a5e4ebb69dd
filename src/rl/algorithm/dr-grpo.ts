/** Dr. GRPO: GRPO without its two biases, of difficulty and of length. */
import { drGrpoAdvantage } from "../advantage/dr-grpo.ts";
import type { SingleRule } from "../groups.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link drGrpo}. */
export type DrGrpoOptions = AlgorithmOptions & {
  /** ε below 1. Default 0.2. */
  readonly clipLow?: number;
  /** ε above 1. Default 0.2. */
  readonly clipHigh?: number;
  /**
   * Tokens that the sum over an episode is divided by, the same for all: give the most that an episode may sample. Default
   * 512, which is TRL's limit. It scales the loss and changes nothing else.
   */
  readonly horizon?: number;
  /** What an episode alone in its group gets. Default its reward. */
  readonly single?: SingleRule;
};

/**
 * Liu et al. 2025, arXiv:2503.20783, §3.2: rewards against the mean of the group, not in deviations, and sums over episodes
 * divided by a constant, not by their own length. No price for leaving the reference.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function drGrpo(options: DrGrpoOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, horizon = 512, single = "reward", ...own } = options;
  return defineAlgorithm(
    {
      name: "dr_grpo",
      advantage: perEpisode((rewards, groups) => drGrpoAdvantage(rewards, groups, single)),
      loss: { form: "clip", low: clipLow, high: clipHigh },
      aggregation: { mode: "seq-mean-token-sum-norm", horizon },
    },
    own,
  );
}
