/** Groups from which nothing can be learned. */
import { type GroupId, type Reward, rewardedGroups } from "../groups.ts";

/**
 * Groups whose rewards are all equal, in order of appearance: their advantages are 0. DAPO's dynamic sampling drops them
 * and draws others (Yu et al. 2025, arXiv:2503.14476, §3.2).
 *
 * A group of which fewer than two samples have a reward is among them; a group of one sample with a reward is not, since
 * it is not meant to be compared (as in verl's filter).
 *
 * @param rewards [samples], or whatever the groups are judged by, such as accuracies
 * @param groups [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function zeroVarianceGroups(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
): GroupId[] {
  return [...rewardedGroups("zero-variance groups", rewards, groups)]
    .filter(([, { rewards: own, size }]) => {
      const isSingle = size === 1 && own.length === 1;
      return !isSingle && own.every((reward) => reward === own[0]);
    })
    .map(([group]) => group);
}
