/** CISPO: the weight of a token is capped, and no token is dropped. */
import { type GrpoAdvantageOptions, grpoAdvantage } from "../advantage/grpo.ts";
import { perEpisode } from "./adapters.ts";
import type { Algorithm } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link cispo}. */
export type CispoOptions = AlgorithmOptions &
  GrpoAdvantageOptions & {
    /** Absolute cap on the ratio: 5 means 5. Default 5. A tighter one, from 1.2 to 2, is what to try where it is unstable. */
    readonly ratioCap?: number;
    /** Lower bound on the weight. Default 0, which is none. */
    readonly floor?: number;
    /** ε of the unified mask (eq. 6–7): tokens that PPO's clip would stop are left out. Default none. */
    readonly trust?: { readonly low: number; readonly high: number };
  };

/**
 * MiniMax-M1, arXiv:2506.13585, eq. 4–5: −sg[min(r, cap)]·A·logπ, mean over tokens, no price for leaving the reference. The
 * paper tunes the cap and does not give it; 5 is that of ScaleRL (arXiv:2510.13786) as TRL has it.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function cispo(options: CispoOptions = {}): Algorithm {
  const { ratioCap = 5, floor = 0, trust, ...rest } = options;
  const { scale = "group", epsilon = 1e-6, single = "reward", ...own } = rest;
  return defineAlgorithm(
    {
      name: "cispo",
      advantage: perEpisode((rewards, groups) =>
        grpoAdvantage(rewards, groups, { scale, epsilon, single }),
      ),
      loss: { form: "cispo", ratioCap, floor, ...(trust && { trust }) },
    },
    own,
  );
}
