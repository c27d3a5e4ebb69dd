/** The reward of Forge, step by step: process on every step, performance and speed on the last. */
import { ForgeError } from "../../../engine/error.ts";
import { finite } from "../rows.ts";

/** What an episode earned. */
export interface EpisodeReward {
  /** [steps] what each step earned by itself, such as a penalty for a malformed tool call; `null` for nothing. */
  readonly process: ArrayLike<number | null>;
  /** Outcome of the task. */
  readonly performance: number;
  /** What the time was worth, from `speedReward`; `null` where it is unknown. Default `null`. */
  readonly speed?: number | null;
}

/** Weights of {@link compositeReward}. */
export interface CompositeWeights {
  /** α. Default 0.1. */
  readonly process?: number;
  /**
   * β. Default 0.1. Below the difference between the performance of a success and that of a failure, no slow success is
   * worth less than a failure: speed is at least −1, and paid for successes only.
   */
  readonly speed?: number;
}

/**
 * r_t = α·process_t, plus performance + β·speed on the last step (MiniMax M2 report, §6.1.5, eq. 4, which publishes
 * neither α nor β nor where speed is paid).
 *
 * @returns [steps]
 * @throws ForgeError `argument_invalid` for an episode without a step; `non_finite`
 */
export function compositeReward(
  episode: EpisodeReward,
  weights: CompositeWeights = {},
): Float64Array {
  const { process, performance, speed } = episode;
  const alpha = finite("composite reward: weight of process", weights.process ?? 0.1);
  const beta = finite("composite reward: weight of speed", weights.speed ?? 0.1);
  if (process.length === 0) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "composite reward: an episode has no step",
      why: "performance and speed are paid on the last one",
      fix: "leave out episodes in which the policy was never asked",
    });
  }
  const rewards = Float64Array.from(
    process,
    (value, t) => alpha * finite(`composite reward: process of step ${t}`, value ?? 0),
  );
  const outcome = finite("composite reward: performance", performance);
  const last = rewards.length - 1;
  rewards[last] =
    Number(rewards[last]) + outcome + beta * finite("composite reward: speed", speed ?? 0);
  return rewards;
}
