/** How the terms of single tokens become one loss. */
import { ForgeError } from "../../engine/error.ts";

/**
 * `token-mean` divides by all tokens of the optimizer step. `seq-mean-token-mean` takes the mean of the means of sequences,
 * `seq-mean-token-sum` the mean of their sums, and `seq-mean-token-sum-norm` divides those sums by `horizon`, a constant
 * number of tokens.
 */
export type Aggregation =
  | { readonly mode: "token-mean" | "seq-mean-token-mean" | "seq-mean-token-sum" }
  | { readonly mode: "seq-mean-token-sum-norm"; readonly horizon: number };

/** What a sequence is: one request, or all that was sampled in an episode. */
export type SequenceUnit = "request" | "episode";

/**
 * Weight of each token of each request: the loss is Σ weight·term over the whole optimizer step, however that is split into
 * batches. Tokens count as often as they are sampled, even where a tree of prefixes holds them once. A sequence without a
 * token does not count as one.
 *
 * @param tokens [episodes][requests] sampled tokens; 0 for what takes no part
 * @returns [episodes][requests] weight of each token, 0 where there is none
 * @throws ForgeError `argument_invalid` for a number of tokens that is not whole, or a horizon that is not positive
 */
export function aggregationWeights(
  tokens: readonly (readonly number[])[],
  aggregation: Aggregation,
  per: SequenceUnit,
): Float64Array[] {
  checkAggregation(aggregation);
  checkCounts(tokens);
  const lengths = tokens.map((counts) => {
    const all = sum(counts);
    return counts.map((count) => (per === "episode" ? all : count));
  });
  const sequences = per === "episode" ? tokens.map(sum) : tokens.flat();
  const [tokenCount, sequenceCount] = [sum(sequences), sequences.filter((n) => n > 0).length];
  return tokens.map((counts, i) =>
    Float64Array.from(counts, (count, k) => {
      if (count === 0) return 0;
      switch (aggregation.mode) {
        case "token-mean":
          return 1 / tokenCount;
        case "seq-mean-token-mean":
          return 1 / (sequenceCount * Number(lengths[i]?.[k]));
        case "seq-mean-token-sum":
          return 1 / sequenceCount;
        case "seq-mean-token-sum-norm":
          return 1 / (sequenceCount * aggregation.horizon);
      }
    }),
  );
}

/**
 * Throws unless the horizon, where there is one, is a positive number.
 *
 * @throws ForgeError `argument_invalid`
 */
export function checkAggregation(aggregation: Aggregation): void {
  if (aggregation.mode !== "seq-mean-token-sum-norm") return;
  const { horizon } = aggregation;
  if (horizon > 0 && horizon < Infinity) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "aggregation: the horizon is not a positive number of tokens",
    got: String(horizon),
    fix: "give the most tokens that a sequence may have",
  });
}

function checkCounts(tokens: readonly (readonly number[])[]): void {
  for (const [i, counts] of tokens.entries()) {
    for (const [k, count] of counts.entries()) {
      if (Number.isInteger(count) && count >= 0) continue;
      throw new ForgeError({
        code: "argument_invalid",
        what: "aggregation: a number of tokens is not a whole number of 0 or more",
        got: `${count} of request ${k} of episode ${i}`,
        fix: "give how many tokens each request sampled",
      });
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
