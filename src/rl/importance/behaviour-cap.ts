/** Decoupled PPO: the policy that sampled, the one that is stayed close to, and the one that is trained. */
import type { Rows } from "../rows.ts";
import { banded, tokenRatios } from "./ratios.ts";

/**
 * w = π_prox / π_behave, 0 above `cap`, the proximal policy being the trainer's before the update (Hilton et al. 2021,
 * arXiv:2110.00641, as in AReaL, whose example has 5). Tokens that are left out still count in the loss's denominator.
 */
export function behaviourCap(old: Rows, rollout: Rows, cap: number): Float64Array[] {
  return tokenRatios(old, rollout).map((row) => banded(row, 0, cap));
}
