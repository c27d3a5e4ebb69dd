/** Dr. GRPO: a reward against the mean of its group. */
import type { GroupId, Reward, SingleRule } from "../groups.ts";
import { groupDeviations } from "./group-deviations.ts";

/**
 * A = R − mean (Liu et al. 2025, arXiv:2503.20783, §3.2: dividing by the deviation favours tasks that are nearly solved
 * or nearly hopeless). Goes with a constant normaliser of the loss and no KL.
 *
 * No reward (`null`): 0, and out of the mean. Alone in its group: `single`, default its reward.
 *
 * @param rewards [samples]
 * @param groups [samples]
 * @returns [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function drGrpoAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  single: SingleRule = "reward",
): Float64Array {
  return groupDeviations("dr-grpo", rewards, groups, single);
}
