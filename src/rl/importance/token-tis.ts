/** Truncated importance sampling, token by token. */
import type { Rows } from "../rows.ts";
import { tokenRatios } from "./ratios.ts";

/**
 * min(w, cap): no token counts for much more than it did when it was sampled (Espeholt et al. 2018, arXiv:1802.01561, §4.1,
 * as in verl and slime, which have a cap of 2).
 */
export function tokenTis(old: Rows, rollout: Rows, cap: number): Float64Array[] {
  return tokenRatios(old, rollout).map((row) => row.map((w) => Math.min(w, cap)));
}
