/** RLOO: a reward against the others of its group, and one ratio for the whole episode. */
import { rlooAdvantage } from "../advantage/rloo.ts";
import type { SingleRule } from "../groups.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link rloo}. */
export type RlooOptions = AlgorithmOptions & {
  /** ε below 1. Default 0.2. */
  readonly clipLow?: number;
  /** ε above 1. Default 0.2. */
  readonly clipHigh?: number;
  /** What an episode alone in its group gets. Default its reward. */
  readonly single?: SingleRule;
};

/**
 * Ahmadian et al. 2024, arXiv:2402.14740, eq. 8, with the clipped ratio of whole sequences that TRL has: exp(Σ log-ratio), mean
 * over episodes. Once a policy has moved, long episodes leave the bounds easily; then take
 * `loss: { form: "clip", low: 0.2, high: 0.2 }`, as verl does. No price for leaving the reference; TRL has 0.05 of k1 in the
 * reward.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function rloo(options: RlooOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, single = "reward", ...own } = options;
  return defineAlgorithm(
    {
      name: "rloo",
      advantage: perEpisode((rewards, groups) => rlooAdvantage(rewards, groups, single)),
      loss: { form: "sequence-sum-clip", low: clipLow, high: clipHigh },
      // Every token of an episode carries the episode's term, so their weights must add up to that of one episode.
      aggregation: { mode: "seq-mean-token-mean" },
    },
    own,
  );
}
