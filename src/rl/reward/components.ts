/** Named and weighted parts of a reward. */
import { ForgeError } from "../../../engine/error.ts";
import { finite } from "../rows.ts";

/** Value of each part; `null` where it does not apply to the sample. */
export type ComponentValues = Readonly<Record<string, number | null>>;

/** Weight of each part; 0 for one that is measured and not rewarded. */
export type ComponentWeights = Readonly<Record<string, number>>;

/**
 * Σ weight·value over the parts that apply. `null` if none with a weight applies: no reward, which is not a reward of 0.
 *
 * @throws ForgeError `argument_invalid` if values and weights do not have the same names; `non_finite` for a value or a
 *   weight that is NaN or infinite, even one that does not count
 */
export function weightedReward(values: ComponentValues, weights: ComponentWeights): number | null {
  checkNames(values, weights);
  let sum: number | null = null;
  for (const [name, value] of Object.entries(values)) {
    if (value === null) continue;
    finite(`reward component ${name}`, value);
    const weight = finite(`weight of reward component ${name}`, Number(weights[name]));
    if (weight !== 0) sum = (sum ?? 0) + weight * value;
  }
  return sum;
}

function checkNames(values: ComponentValues, weights: ComponentWeights): void {
  const lacking = (a: object, b: object) =>
    Object.keys(a).filter((name) => !Object.hasOwn(b, name));
  const [unweighted, unvalued] = [lacking(values, weights), lacking(weights, values)];
  if (unweighted.length + unvalued.length === 0) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "reward components: values and weights do not have the same names",
    got: `without a weight: ${unweighted.join(", ") || "none"}; without a value: ${unvalued.join(", ") || "none"}`,
    fix: "give null for a component that does not apply, and weight 0 for a mere metric",
  });
}
