/** REINFORCE++: the return from each token on, against those of the whole batch. */
import type { Chains } from "../chains.ts";
import { rewardToGo } from "../reward/reward-to-go.ts";
import { type Row, type Rows, within } from "../rows.ts";
import { masked, whiten } from "../statistics.ts";
import { checkSampledChains, checkSampledRewards } from "./sampled-rewards.ts";

/**
 * Returns over the sampled tokens, whitened over the batch (Hu 2025, arXiv:2501.03262, §3, as in verl). Other tokens pass
 * a return on undiscounted and get 0. A batch with fewer than two sampled tokens: zeros.
 *
 * @param rewards [samples][tokens]; an outcome stands on the last sampled token, KL penalties on every one
 * @param mask [samples][tokens] 1 for sampled tokens
 * @param gamma default 1
 * @param chains [samples] how tokens follow each other, as in {@link rewardToGo}; undefined for one line. Default: all are
 * @returns [samples][tokens]
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for a mask of something else than 0 and 1, a
 *   reward on a token that was not sampled, or γ outside [0, 1]
 */
export function reinforcePlusPlusAdvantage(
  rewards: Rows,
  mask: Rows,
  gamma = 1,
  chains?: readonly (Chains | undefined)[],
): Float64Array[] {
  checkSampledRewards("reinforce++", rewards, mask);
  checkSampledChains("reinforce++", chains, mask);
  within("reinforce++: gamma", gamma, 0, 1);
  const returns = rewards.map((row, i) => {
    const own = chains?.[i];
    return own ? rewardToGo(row, gamma, own) : sampledReturns(row, mask[i] as Row, gamma);
  });
  return masked(whiten(returns, mask), mask);
}

function sampledReturns(rewards: Row, mask: Row, gamma: number): Float64Array {
  const returns = new Float64Array(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    if (mask[t] === 1) following = Number(rewards[t]) + gamma * following;
    returns[t] = following;
  }
  return returns;
}
