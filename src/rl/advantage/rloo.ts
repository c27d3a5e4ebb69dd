/** RLOO: a reward against the mean of the others of its group. */
import { type GroupId, type Reward, type SingleRule, withinGroups } from "../groups.ts";
import { mean } from "../statistics.ts";

/**
 * A = R − mean of the others = G/(G − 1)·(R − mean) (Ahmadian et al. 2024, arXiv:2402.14740, eq. 8): a baseline that does
 * not depend on the sample itself, so the gradient is unbiased.
 *
 * No reward (`null`): 0, and not one of the others. Alone in its group: `single`, default its reward.
 *
 * @param rewards [samples]
 * @param groups [samples]
 * @returns [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function rlooAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  single: SingleRule = "reward",
): Float64Array {
  return withinGroups("rloo", rewards, groups, single, ({ rewards: own }) => {
    const centre = mean(own);
    const factor = own.length / (own.length - 1);
    return own.map((reward) => factor * (reward - centre));
  });
}
