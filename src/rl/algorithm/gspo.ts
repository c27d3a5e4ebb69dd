/** GSPO: GRPO with one ratio per sequence. */
import { type GrpoAdvantageOptions, grpoAdvantage } from "../advantage/grpo.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link gspo}. */
export type GspoOptions = AlgorithmOptions &
  GrpoAdvantageOptions & {
    /** ε below 1. Default 3e-4. */
    readonly clipLow?: number;
    /** ε above 1. Default 4e-4. */
    readonly clipHigh?: number;
  };

/**
 * Zheng et al. 2025, arXiv:2507.18071, eq. 5–7: s = exp(mean log-ratio of the sequence), clipped as a whole. Means over
 * sequences differ from 1 by little, hence bounds a thousandth of PPO's. Four updates a pass, as the paper's; no price for
 * leaving the reference.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function gspo(options: GspoOptions = {}): Algorithm {
  const { clipLow = 3e-4, clipHigh = 4e-4, ...rest } = options;
  const { scale = "group", epsilon = 1e-6, single = "reward", ...own } = rest;
  return defineAlgorithm(
    {
      name: "gspo",
      advantage: perEpisode((rewards, groups) =>
        grpoAdvantage(rewards, groups, { scale, epsilon, single }),
      ),
      loss: { form: "sequence-clip", low: clipLow, high: clipHigh },
      aggregation: { mode: "seq-mean-token-mean" },
      minibatches: 4,
    },
    own,
  );
}
