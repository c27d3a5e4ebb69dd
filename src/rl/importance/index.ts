/** Corrections for what the sampler's policy and the trainer's see differently. */
import { ForgeError } from "../../../engine/error.ts";
import { type Rows, within } from "../rows.ts";
import { behaviourCap } from "./behaviour-cap.ts";
import { icepop } from "./icepop.ts";
import { sequenceMask } from "./sequence-mask.ts";
import { sequenceMaskedTis } from "./sequence-masked-tis.ts";
import { sequenceTis } from "./sequence-tis.ts";
import { tokenTis } from "./token-tis.ts";

/** Of all corrections. */
interface Normalizable {
  /** Whether the weights are scaled to a mean of 1 over the tokens. Default false. */
  readonly normalize?: boolean;
}

/**
 * What becomes of w = π_old / π_rollout, π_old being the trainer's policy before the update.
 *
 * | kind | weight of a token |
 * | --- | --- |
 * | `token-tis` | min(w, cap) |
 * | `sequence-tis` | min(Π w, cap) over its sequence |
 * | `icepop` | w within [low, high], else 0 |
 * | `sequence-mask` | Π w of its sequence, or the geometric mean, within [low, high], else 0. `low` default 0 |
 * | `sequence-masked-tis` | min(w, cap) where the geometric mean lies within [low, high], else 0 |
 * | `behaviour-cap` | w up to the cap, else 0: decoupled PPO |
 */
export type ImportanceCorrection = Normalizable &
  (
    | { readonly kind: "token-tis"; readonly cap: number }
    | { readonly kind: "sequence-tis"; readonly cap: number }
    | { readonly kind: "icepop"; readonly low: number; readonly high: number }
    | {
        readonly kind: "sequence-mask";
        readonly low?: number;
        readonly high: number;
        readonly of: "sum" | "mean";
      }
    | {
        readonly kind: "sequence-masked-tis";
        readonly low: number;
        readonly high: number;
        readonly cap: number;
      }
    | { readonly kind: "behaviour-cap"; readonly cap: number }
  );

/**
 * Weights of the tokens of a batch, never differentiated. Where both policies are the same, all are 1, if 1 is within the
 * bounds.
 *
 * @param old [sequences][tokens] log-probabilities under the trainer's policy before the update
 * @param rollout [sequences][tokens] under the policy that sampled
 * @returns [sequences][tokens]
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for bounds that leave nothing
 */
export function importanceWeights(
  correction: ImportanceCorrection,
  old: Rows,
  rollout: Rows,
): Float64Array[] {
  checkCorrection(correction);
  const weights = rawWeights(correction, old, rollout);
  return correction.normalize ? normalized(weights) : weights;
}

/**
 * Throws unless the bounds of a correction are positive and in order.
 *
 * @throws ForgeError `argument_invalid`
 */
export function checkCorrection(correction: ImportanceCorrection): void {
  const { kind } = correction;
  if ("cap" in correction) {
    within(`${kind}: cap`, correction.cap, Number.MIN_VALUE, Number.MAX_VALUE);
  }
  if (!("high" in correction)) return;
  const { low = 0, high } = correction;
  within(`${kind}: low`, low, 0, Number.MAX_VALUE);
  within(`${kind}: high`, high, Math.max(low, Number.MIN_VALUE), Number.MAX_VALUE);
}

function rawWeights(correction: ImportanceCorrection, old: Rows, rollout: Rows): Float64Array[] {
  switch (correction.kind) {
    case "token-tis":
      return tokenTis(old, rollout, correction.cap);
    case "sequence-tis":
      return sequenceTis(old, rollout, correction.cap);
    case "icepop":
      return icepop(old, rollout, correction);
    case "sequence-mask":
      return sequenceMask(old, rollout, correction);
    case "sequence-masked-tis":
      return sequenceMaskedTis(old, rollout, correction);
    case "behaviour-cap":
      return behaviourCap(old, rollout, correction.cap);
    default:
      throw new ForgeError({
        code: "argument_invalid",
        what: "importance correction: unknown kind",
        got: String((correction as { kind?: unknown }).kind),
        fix: "give token-tis, sequence-tis, icepop, sequence-mask, sequence-masked-tis or behaviour-cap",
      });
  }
}

/** To a mean of 1; all zeros stay so. */
function normalized(weights: readonly Float64Array[]): Float64Array[] {
  const all = weights.flatMap((row) => Array.from(row));
  const mean = all.reduce((sum, w) => sum + w, 0) / all.length;
  return weights.map((row) => (mean > 0 ? row.map((w) => w / mean) : row));
}
