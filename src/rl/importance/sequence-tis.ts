/** Truncated importance sampling by whole sequences. */
import type { Rows } from "../rows.ts";
import { sequenceRatios, spread } from "./ratios.ts";

/**
 * min(Π w, cap) on every token of a sequence (as in verl): unbiased but for the cap, and of a variance that grows with the
 * length.
 */
export function sequenceTis(old: Rows, rollout: Rows, cap: number): Float64Array[] {
  const weights = sequenceRatios(old, rollout, "sum").map((w) => Math.min(w, cap));
  return spread(weights, old);
}
