/** What is still to be earned. */
import { finite, type Row, within } from "../rows.ts";

/**
 * G_t = Σ_{u ≥ t} γ^{u−t}·r_u (MiniMax M2 report, §6.1.5, eq. 6).
 *
 * @param rewards [steps]
 * @param gamma default 1
 * @returns [steps]
 * @throws ForgeError `non_finite`; `argument_invalid` for γ outside [0, 1]
 */
export function rewardToGo(rewards: Row, gamma = 1): Float64Array {
  within("reward-to-go: gamma", gamma, 0, 1);
  const toGo = new Float64Array(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    following = finite(`reward of step ${t}`, Number(rewards[t])) + gamma * following;
    toGo[t] = following;
  }
  return toGo;
}
