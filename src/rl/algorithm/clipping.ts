/** Which ratio a loss bounds, and where. */
import type { PolicyLossForm } from "../loss/forms.ts";
import type { PolicyLossFunction } from "../loss/policy-loss.ts";

type Loss = PolicyLossForm | PolicyLossFunction;

/** Ratio of a token, of the geometric mean of a sequence, or of the product over a sequence. */
export type RatioUnit = "token" | "sequence-mean" | "sequence-sum";

/** The ratio that a loss bounds; tokens' for a function of one's own. */
export function ratioUnit(loss: Loss): RatioUnit {
  if (typeof loss === "function") return "token";
  if (loss.form === "sequence-clip") return "sequence-mean";
  return loss.form === "sequence-sum-clip" ? "sequence-sum" : "token";
}

/**
 * Whether a loss bounds a ratio. For clips that is where the clipped branch is the larger one, as verl and TRL count it
 * (dual clip and delta are not counted); for CISPO where the weight is not the ratio, as in verl. Losses that bound no
 * ratio, or bound it smoothly, and functions of one's own: never.
 */
export function clippingOf(loss: Loss): (ratio: number, advantage: number) => boolean {
  if (typeof loss === "function") return () => false;
  switch (loss.form) {
    case "clip":
    case "sequence-clip":
    case "sequence-sum-clip":
      return beyond(1 - loss.low, 1 + loss.high);
    case "geometric-mean":
      return beyond(Math.exp(-loss.bound), Math.exp(loss.bound));
    case "cispo": {
      const { ratioCap, floor = 0, trust } = loss;
      const isDropped = trust ? beyond(1 - trust.low, 1 + trust.high) : () => false;
      return (ratio, advantage) => ratio > ratioCap || ratio < floor || isDropped(ratio, advantage);
    }
    case "dppo":
      return (ratio) => ratio > loss.ratioCap;
    case "sapo":
    case "reinforce":
    case "prime-rl":
      return () => false;
  }
}

/** Outside the bounds in the direction in which the advantage pushes. */
function beyond(low: number, high: number): (ratio: number, advantage: number) => boolean {
  return (ratio, advantage) => (advantage > 0 ? ratio > high : advantage < 0 && ratio < low);
}
