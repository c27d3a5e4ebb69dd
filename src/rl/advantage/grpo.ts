/** GRPO: a reward against those of its group, in deviations. */
import { type GroupId, type Reward, type SingleRule, withinGroups } from "../groups.ts";
import { finite } from "../rows.ts";
import { mean, standardDeviation } from "../statistics.ts";

/** Options of {@link grpoAdvantage}. */
export interface GrpoAdvantageOptions {
  /**
   * Whose deviation divides: that of the group, that of all rewards of the batch, or none (which is Dr. GRPO).
   * Default group. TRL calls this `scale_rewards`.
   */
  readonly scale?: "group" | "batch" | "none";
  /** Added to the deviation. Default 1e-6, as verl; TRL has 1e-4. */
  readonly epsilon?: number;
  /** What a sample alone in its group gets before scaling; its group's deviation is then 1. Default its reward. */
  readonly single?: SingleRule;
}

/**
 * A = (R − mean) / (std + ε), std unbiased (Shao et al. 2024, arXiv:2402.03300, §4.1.2, as in verl and TRL).
 *
 * A group of equal rewards gives exact zeros. No reward (`null`): 0, and out of the mean and the deviation.
 *
 * @param rewards [samples]
 * @param groups [samples]
 * @returns [samples]; every token of a sample has its advantage
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function grpoAdvantage(
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  options: GrpoAdvantageOptions = {},
): Float64Array {
  const { scale = "group", single = "reward" } = options;
  const epsilon = finite("grpo: epsilon", options.epsilon ?? 1e-6);
  const advantages = withinGroups("grpo", rewards, groups, single, ({ rewards: own }) => {
    const centre = mean(own);
    const divisor = scale === "group" ? standardDeviation(own) + epsilon : 1;
    return own.map((reward) => (reward - centre) / divisor);
  });
  if (scale !== "batch") return advantages;
  const all = Array.from(rewards).filter((reward) => reward !== null);
  const divisor = standardDeviation(all) + epsilon;
  return advantages.map((advantage) => advantage / divisor);
}
