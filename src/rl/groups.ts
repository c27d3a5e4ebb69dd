/** Samples of one task, compared with each other. */
import { checkSameLength, finite } from "./rows.ts";

/** Names the group of a sample. */
export type GroupId = string | number;

/**
 * Reward of a sample. `null` is no reward: the sample takes no part in any baseline or deviation and its advantage is
 * 0, which is what a failure of the infrastructure deserves. NaN is an error, not a `null`.
 */
export type Reward = number | null;

/**
 * What a sample that is alone in its group gets: its reward, as in verl, or 0, as in TRL. A sample that is left alone
 * because the others have no reward always gets 0: it was to be compared, and there is nothing to compare it with.
 */
export type SingleRule = "reward" | "zero";

/** Rewards of the samples of a group that have one, and their indices in the batch. */
export interface Rewarded {
  readonly rewards: Float64Array;
  readonly indices: readonly number[];
}

/** {@link Rewarded} of each group, with the number of all its samples. */
export function rewardedGroups(
  what: string,
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
): ReadonlyMap<GroupId, Rewarded & { readonly size: number }> {
  checkSameLength(what, { rewards, groups });
  const result = new Map<GroupId, Rewarded & { readonly size: number }>();
  for (const [group, members] of groupMembers(groups)) {
    const indices = members.filter((i) => rewards[i] !== null);
    const values = indices.map((i) => finite(`${what}: reward ${i}`, rewards[i] as number));
    result.set(group, { rewards: Float64Array.from(values), indices, size: members.length });
  }
  return result;
}

/**
 * Advantages [samples] of which each depends on its own group only.
 *
 * `advantagesOf` is asked for groups of two rewards and more. Other groups: see {@link SingleRule}.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite` for a reward that is NaN or infinite
 */
export function withinGroups(
  what: string,
  rewards: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  single: SingleRule,
  advantagesOf: (group: Rewarded) => ArrayLike<number>,
): Float64Array {
  const advantages = new Float64Array(rewards.length);
  for (const group of rewardedGroups(what, rewards, groups).values()) {
    const { indices, size } = group;
    if (indices.length < 2) {
      const [only] = indices;
      if (size === 1 && only !== undefined && single === "reward") {
        advantages[only] = Number(rewards[only]);
      }
      continue;
    }
    const own = advantagesOf(group);
    for (const [k, i] of indices.entries()) advantages[i] = Number(own[k]);
  }
  return advantages;
}

/** Indices of the samples of each group, in order of appearance. */
function groupMembers(groups: ArrayLike<GroupId>): ReadonlyMap<GroupId, readonly number[]> {
  const members = new Map<GroupId, number[]>();
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i] as GroupId;
    const list = members.get(group);
    if (list) list.push(i);
    else members.set(group, [i]);
  }
  return members;
}
