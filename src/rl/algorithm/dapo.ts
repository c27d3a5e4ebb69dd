/** DAPO: GRPO with more room upwards, a mean over tokens, and no groups of equal rewards. */
import { type GrpoAdvantageOptions, grpoAdvantage } from "../advantage/grpo.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link dapo}. */
export type DapoOptions = AlgorithmOptions &
  GrpoAdvantageOptions & {
    /** ε below 1. Default 0.2. */
    readonly clipLow?: number;
    /** ε above 1. Default 0.28. */
    readonly clipHigh?: number;
  };

/**
 * Yu et al. 2025, arXiv:2503.14476, eq. 8: the clip is wider above than below, so that rare tokens can grow; all tokens of the
 * step count alike; groups of equal rewards are replaced, at most 10 times, as in verl's recipe. No price for leaving the
 * reference. The penalty for overlong answers depends on the task: `overlong: { maxLength, buffer }`, default none.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function dapo(options: DapoOptions = {}): Algorithm {
  const { clipLow = 0.2, clipHigh = 0.28, ...rest } = options;
  const { scale = "group", epsilon = 1e-6, single = "reward", ...own } = rest;
  return defineAlgorithm(
    {
      name: "dapo",
      advantage: perEpisode((rewards, groups) =>
        grpoAdvantage(rewards, groups, { scale, epsilon, single }),
      ),
      loss: { form: "clip", low: clipLow, high: clipHigh },
      dynamicSampling: { refillCap: 10 },
    },
    own,
  );
}
