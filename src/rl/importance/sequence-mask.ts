/** Sequences on which the two policies disagree too much are left out. */
import type { Rows } from "../rows.ts";
import { banded, sequenceRatios, spread } from "./ratios.ts";

/**
 * The ratio of the sequence on each of its tokens, 0 outside [low, high] (TRL's `sequence_mask`, which takes the product and
 * has no lower bound and 3). Products leave any bounds as sequences get longer; geometric means (`of: "mean"`) do not.
 */
export function sequenceMask(
  old: Rows,
  rollout: Rows,
  bounds: { readonly low?: number; readonly high: number; readonly of: "sum" | "mean" },
): Float64Array[] {
  const { low = 0, high, of } = bounds;
  return spread(banded(sequenceRatios(old, rollout, of), low, high), old);
}
