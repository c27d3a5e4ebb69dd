/** REINFORCE++ with a baseline: a reward against the mean of its group, then against the whole batch. */
import type { GroupId, Reward, SingleRule } from "../groups.ts";
import { checkSameLength, type Rows } from "../rows.ts";
import { masked, perToken, whiten } from "../statistics.ts";
import { groupDeviations } from "./group-deviations.ts";

/**
 * (R − mean of the group) on every sampled token, whitened over the batch (Hu 2025, arXiv:2501.03262, §3.3, as in verl):
 * long samples weigh more in the moments. The tokens of a sample without a reward (`null`) are out of the moments and get
 * 0.
 *
 * @param rewards [samples]
 * @param groups [samples]
 * @param mask [samples][tokens] 1 for sampled tokens
 * @param single what a sample alone in its group gets before whitening; default its reward
 * @returns [samples][tokens], 0 on tokens that were not sampled
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite; `argument_invalid` for a mask
 *   of something else than 0 and 1
 */
export function reinforcePlusPlusBaselineAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  mask: Rows,
  single: SingleRule = "reward",
): Float64Array[] {
  checkSameLength("reinforce++-baseline", { rewards, mask });
  const deviations = groupDeviations("reinforce++-baseline", rewards, groups, single);
  const counted = mask.map((row, i) => (rewards[i] === null ? new Float64Array(row.length) : row));
  return masked(whiten(perToken(deviations, counted), counted), counted);
}
