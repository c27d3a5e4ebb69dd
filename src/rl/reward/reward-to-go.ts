/** What is still to be earned. */
import { type Chains, checkChains, depthsOf, sharedToGo } from "../chains.ts";
import { finite, type Row, within } from "../rows.ts";

/**
 * G_t = Σ_{u ≥ t} γ^{u−t}·r_u (MiniMax M2 report, §6.1.5, eq. 6). With chains, u runs over t and the steps that follow from it
 * however far, γ counts the steps between them, and what is shared is added to each step, once.
 *
 * @param rewards [steps]; with chains what each step earned by itself
 * @param gamma default 1
 * @param chains default: one line
 * @returns [steps]
 * @throws ForgeError `non_finite`; `argument_invalid` for γ outside [0, 1], or a step that follows a later one
 */
export function rewardToGo(rewards: Row, gamma = 1, chains?: Chains): Float64Array {
  within("reward-to-go: gamma", gamma, 0, 1);
  const toGo = Float64Array.from(rewards, (reward, t) => finite(`reward of step ${t}`, reward));
  if (!chains) {
    let following = 0;
    for (let t = toGo.length - 1; t >= 0; t--) {
      following = Number(toGo[t]) + gamma * following;
      toGo[t] = following;
    }
    return toGo;
  }
  checkChains("reward-to-go", chains, rewards);
  for (let t = toGo.length - 1; t >= 0; t--) {
    const parent = chains.parents[t] ?? null;
    if (parent !== null) toGo[parent] = Number(toGo[parent]) + gamma * Number(toGo[t]);
  }
  const shared = sharedToGo(chains, gamma);
  return toGo.map((own, t) => own + Number(shared[t]));
}

/**
 * What an episode earns as seen from its start: G_0 of one line; of several chains the sum of what their steps earned by
 * themselves and what is shared, each discounted by its depth. 0 for an episode without a step.
 *
 * @throws ForgeError as {@link rewardToGo}
 */
export function episodeReturn(rewards: Row, gamma = 1, chains?: Chains): number {
  if (!chains) return rewardToGo(rewards, gamma)[0] ?? 0;
  checkChains("return", chains, rewards);
  const depths = depthsOf(chains.parents);
  const deepest = depths.reduce((most, depth) => Math.max(most, depth), 0);
  return depths.reduce(
    (sum, depth, t) => sum + gamma ** depth * finite(`reward of step ${t}`, Number(rewards[t])),
    gamma ** deepest * chains.shared,
  );
}
