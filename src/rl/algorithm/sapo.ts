/** SAPO: a smooth gate on the ratio in place of a clip. */
import { type GrpoAdvantageOptions, grpoAdvantage } from "../advantage/grpo.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link sapo}. */
export type SapoOptions = AlgorithmOptions &
  GrpoAdvantageOptions & {
    /** τ where A > 0. Default 1. */
    readonly tauPositive?: number;
    /** τ elsewhere. Default 1.05. */
    readonly tauNegative?: number;
  };

/**
 * arXiv:2511.20347: −A·(4/τ)·σ(τ·(r − 1)), whose gradient fades as the ratio leaves 1, faster for negative advantages. Mean
 * over the tokens of an episode, then over episodes, as in verl and TRL. No price for leaving the reference.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function sapo(options: SapoOptions = {}): Algorithm {
  const { tauPositive = 1, tauNegative = 1.05, ...rest } = options;
  const { scale = "group", epsilon = 1e-6, single = "reward", ...own } = rest;
  return defineAlgorithm(
    {
      name: "sapo",
      advantage: perEpisode((rewards, groups) =>
        grpoAdvantage(rewards, groups, { scale, epsilon, single }),
      ),
      loss: { form: "sapo", tauPositive, tauNegative },
      aggregation: { mode: "seq-mean-token-mean" },
    },
    own,
  );
}
