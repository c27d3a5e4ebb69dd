/** A mask of sequences, and truncated weights of the tokens of those that are kept. */
import type { Rows } from "../rows.ts";
import { sequenceRatios } from "./ratios.ts";
import { tokenTis } from "./token-tis.ts";

/**
 * min(w, cap) where the geometric mean of the sequence lies within [low, high], else 0 (SkyRL's advice: 0.99 and 1.01, then
 * a cap of 2).
 */
export function sequenceMaskedTis(
  old: Rows,
  rollout: Rows,
  bounds: { readonly low: number; readonly high: number; readonly cap: number },
): Float64Array[] {
  const means = sequenceRatios(old, rollout, "mean");
  return tokenTis(old, rollout, bounds.cap).map((row, i) => {
    const mean = Number(means[i]);
    return mean >= bounds.low && mean <= bounds.high ? row : row.fill(0);
  });
}
