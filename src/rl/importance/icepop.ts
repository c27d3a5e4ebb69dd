/** IcePop: tokens on which the two policies disagree too much are left out. */
import type { Rows } from "../rows.ts";
import { banded, tokenRatios } from "./ratios.ts";

/** w within [low, high], 0 outside (as in verl and SkyRL, which has 0.5 and 2). */
export function icepop(
  old: Rows,
  rollout: Rows,
  bounds: { readonly low: number; readonly high: number },
): Float64Array[] {
  return tokenRatios(old, rollout).map((row) => banded(row, bounds.low, bounds.high));
}
