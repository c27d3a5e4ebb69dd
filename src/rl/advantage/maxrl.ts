/** MaxRL: a reward against the mean of its group, relative to that mean. */
import { ForgeError } from "../../../engine/error.ts";
import { type GroupId, type Reward, type SingleRule, withinGroups } from "../groups.ts";
import { finite } from "../rows.ts";
import { mean } from "../statistics.ts";

/** Options of {@link maxrlAdvantage}. */
export interface MaxrlOptions {
  /** Added to the mean. Default 1e-6. */
  readonly epsilon?: number;
  /** What a sample alone in its group gets. Default 0: it equals its mean. */
  readonly single?: SingleRule;
}

/**
 * A = (R − mean) / (mean + ε), as in prime-rl and SkyRL: for rewards of 0 and 1 this follows the gradient of the
 * log-probability of success, so a rare success counts for more.
 *
 * No reward (`null`): 0, and out of the mean. A group without a success: zeros.
 *
 * @param rewards [samples], not negative
 * @param groups [samples]
 * @returns [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for a negative reward, under which the sign of
 *   every advantage of its group could turn
 */
export function maxrlAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  options: MaxrlOptions = {},
): Float64Array {
  const epsilon = finite("maxrl: epsilon", options.epsilon ?? 1e-6);
  const negative = Array.from(rewards).findIndex((reward) => reward !== null && reward < 0);
  if (negative >= 0) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "maxrl: a reward is negative",
      got: `${rewards[negative]} of sample ${negative}`,
      why: "the mean of the group is the divisor",
      fix: "shift the rewards to 0 and above, or use grpo",
    });
  }
  return withinGroups("maxrl", rewards, groups, options.single ?? "zero", ({ rewards: own }) => {
    const centre = mean(own);
    return own.map((reward) => (reward - centre) / (centre + epsilon));
  });
}
