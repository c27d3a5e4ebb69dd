/** The advantage of Forge: what an episode still earns from a step on, against the baseline of its trajectory. */
import type { Chains } from "../chains.ts";
import { type GroupId, rewardedGroups } from "../groups.ts";
import { episodeReturn, rewardToGo } from "../reward/reward-to-go.ts";
import { type BaselineMode, trajectoryBaselines } from "../reward/trajectory-baseline.ts";
import { checkFinite, checkSameLength, finite, type Row } from "../rows.ts";
import { standardDeviation } from "../statistics.ts";

/** Options of {@link forgeAdvantage}. */
export interface ForgeAdvantageOptions {
  /** Discount per step. Default 1. */
  readonly gamma?: number;
  /**
   * What is subtracted from every step of an episode. Default group-mean. Numbers [episodes] are taken as they are, such
   * as those of a `RunningBaseline`.
   */
  readonly baseline?: BaselineMode | Row;
  /** Whose deviation of episode returns divides: that of the group, of the batch, or none. Default none. */
  readonly scale?: "none" | "group" | "batch";
  /** Added to that deviation. Default 1e-6. */
  readonly epsilon?: number;
  /** [episodes] how steps follow each other; undefined for one line. Default: all are. */
  readonly chains?: readonly (Chains | undefined)[];
}

/**
 * A_t = Σ_{u ≥ t} γ^{u−t}·r_u − B for each step t of each episode (MiniMax M2 report, §6.1.5, eq. 6–7); with chains as
 * {@link rewardToGo} has it. Every token of the completion that is step t has A_t. Baselines, and episodes alone in their
 * group: {@link trajectoryBaselines}. A group of fewer than two episodes with rewards has no deviation, and 1 divides.
 *
 * @param rewards [episodes][steps], with chains what each step earned by itself; `null` for an episode without rewards, which
 *   is in no baseline and gets `null` back
 * @param groups [episodes]
 * @returns [episodes][steps]
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for γ outside [0, 1]
 */
export function forgeAdvantage(
  rewards: readonly (Row | null)[],
  groups: ArrayLike<GroupId>,
  options: ForgeAdvantageOptions = {},
): (Float64Array | null)[] {
  const { gamma = 1, baseline = "group-mean", scale = "none", chains } = options;
  const epsilon = finite("forge: epsilon", options.epsilon ?? 1e-6);
  checkSameLength("forge", { rewards, groups, ...(chains && { chains }) });
  const toGo = rewards.map((row, i) => row && rewardToGo(row, gamma, chains?.[i]));
  const returns = rewards.map((row, i) => row && episodeReturn(row, gamma, chains?.[i]));
  const baselines =
    typeof baseline === "string" ? trajectoryBaselines(returns, groups, baseline) : baseline;
  checkSameLength("forge", { rewards, baselines });
  checkFinite("forge: baselines", [baselines]);
  const divisors = deviations(returns, groups, scale, epsilon);
  return toGo.map((row, i) =>
    row === null ? null : row.map((g) => (g - Number(baselines[i])) / Number(divisors[i])),
  );
}

function deviations(
  returns: readonly (number | null)[],
  groups: ArrayLike<GroupId>,
  scale: "none" | "group" | "batch",
  epsilon: number,
): Float64Array {
  const divisors = new Float64Array(returns.length).fill(1);
  if (scale === "batch") {
    const all = returns.filter((value) => value !== null);
    return all.length < 2 ? divisors : divisors.fill(standardDeviation(all) + epsilon);
  }
  if (scale === "none") return divisors;
  for (const { rewards, indices } of rewardedGroups("forge", returns, groups).values()) {
    if (indices.length < 2) continue;
    const divisor = standardDeviation(rewards) + epsilon;
    for (const i of indices) divisors[i] = divisor;
  }
  return divisors;
}
