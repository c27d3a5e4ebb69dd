/** Rewards against the mean of their group. */
import { type GroupId, type Reward, type SingleRule, withinGroups } from "../groups.ts";
import { mean } from "../statistics.ts";

/**
 * R − mean of the group; no reward (`null`): 0, and out of the mean.
 *
 * @param what the function that errors name
 * @param rewards [samples]
 * @param groups [samples]
 * @returns [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function groupDeviations(
  what: string,
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  single: SingleRule,
): Float64Array {
  return withinGroups(what, rewards, groups, single, ({ rewards: own }) => {
    const centre = mean(own);
    return own.map((reward) => reward - centre);
  });
}
