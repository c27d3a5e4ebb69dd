/** GRPO: a clipped ratio, and a reward in deviations of its group. */
import { type GrpoAdvantageOptions, grpoAdvantage } from "../advantage/grpo.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link grpo}. */
export type GrpoOptions = AlgorithmOptions &
  GrpoAdvantageOptions & {
    /** ε below 1. Default 0.2. */
    readonly clipLow?: number;
    /** ε above 1. Default 0.2. */
    readonly clipHigh?: number;
  };

/**
 * Shao et al. 2024, arXiv:2402.03300, §4.1: mean over the tokens of an episode, then over episodes. No price for leaving the
 * reference, as in TRL and verl today; the paper has 0.04 of k3 in the loss.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function grpo(options: GrpoOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.2, scale = "group", epsilon = 1e-6, ...rest } = options;
  const { single = "reward", ...own } = rest;
  return defineAlgorithm(
    {
      name: "grpo",
      advantage: perEpisode((rewards, groups) =>
        grpoAdvantage(rewards, groups, { scale, epsilon, single }),
      ),
      loss: { form: "clip", low: clipLow, high: clipHigh },
      aggregation: { mode: "seq-mean-token-mean" },
    },
    own,
  );
}
