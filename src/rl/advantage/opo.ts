/** OPO: a reward against the mean of its group by length. */
import { type GroupId, type Reward, type SingleRule, withinGroups } from "../groups.ts";
import { checkFinite, checkSameLength } from "../rows.ts";
import { mean } from "../statistics.ts";

/**
 * A = R − Σ L·R / Σ L over the group, L the number of sampled tokens (Hao et al. 2025, arXiv:2505.23585, eq. 9: the
 * baseline of least variance when a gradient's norm grows with its length).
 *
 * No reward (`null`): 0, and out of the baseline. A group without a token: the plain mean. Alone in its group: `single`,
 * default its reward.
 *
 * @param rewards [samples]
 * @param groups [samples]
 * @param lengths [samples] sampled tokens
 * @returns [samples]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward or a length that is NaN or infinite
 */
export function opoAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  lengths: ArrayLike<number>,
  single: SingleRule = "reward",
): Float64Array {
  checkSameLength("opo", { rewards, lengths });
  checkFinite("opo: lengths", [lengths]);
  return withinGroups("opo", rewards, groups, single, ({ rewards: own, indices }) => {
    const tokens = indices.reduce((sum, i) => sum + Number(lengths[i]), 0);
    const centre = mean(own);
    const weighted = indices.reduce(
      (sum, i, k) => sum + Number(lengths[i]) * (Number(own[k]) - centre),
      0,
    );
    const baseline = centre + (tokens > 0 ? weighted / tokens : 0);
    return own.map((reward) => reward - baseline);
  });
}
