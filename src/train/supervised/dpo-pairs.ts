/** Pairs of responses as samples of forests, of which each batch holds whole pairs. */
import { ForgeError } from "../../../engine/index.ts";
import { buildForest } from "../../pool/forest.ts";
import type { ForestBatch, ForestSample } from "../../pool/forest-batch.ts";
import { buildTrie } from "../../pool/forest-trie.ts";

/** Two responses to a prompt, of which one is preferred. */
export interface PreferencePair {
  /** One token or more. */
  readonly prompt: ArrayLike<number>;
  /** One token or more, as is the other one; with the id that ends it. */
  readonly chosen: ArrayLike<number>;
  readonly rejected: ArrayLike<number>;
  /** Log-probs of their tokens under the reference, as `DpoTrainer.withReference` adds them. */
  readonly reference?: Readonly<Record<"chosen" | "rejected", ArrayLike<number>>>;
}

/** Pairs that are computed together. */
export interface PairBatch {
  /** Indices of the pairs [P]. */
  readonly pairs: readonly number[];
  /** Of the samples of these pairs: the chosen one of each, then its rejected one. */
  readonly forest: ForestBatch;
}

/**
 * The sequences of pairs, each trained on its response: the chosen one of each pair, then its rejected one.
 *
 * Errors    `argument_invalid` for an empty prompt or response.
 */
export function samplesOfPairs(pairs: readonly PreferencePair[]): ForestSample[] {
  return pairs.flatMap(({ prompt, chosen, rejected }, i) => {
    if (Math.min(prompt.length, chosen.length, rejected.length) === 0) throw emptyPart(i);
    return [chosen, rejected].map((response): ForestSample => {
      const ids = new Uint32Array(prompt.length + response.length);
      ids.set(prompt);
      ids.set(response, prompt.length);
      return { ids, trained: [[prompt.length, ids.length]] };
    });
  });
}

/**
 * Batches of whole pairs in their order, each as full as the budget lets it be. Pairs with one prompt that stand side by side
 * share it.
 *
 * Errors    `context_exceeded` for a pair that does not fit by itself.
 */
export function pairBatches(samples: readonly ForestSample[], tokenBudget: number): PairBatch[] {
  const batches: PairBatch[] = [];
  const both = (pair: number): ForestSample[] => samples.slice(2 * pair, 2 * pair + 2);
  let open: number[] = [];
  const close = (): void => {
    const [forest] = buildForest(open.flatMap(both)).batches;
    if (forest) batches.push({ pairs: open, forest });
  };
  for (let pair = 0; pair < samples.length / 2; pair++) {
    if (tokensOf([...open, pair].flatMap(both)) <= tokenBudget) {
      open.push(pair);
      continue;
    }
    const own = tokensOf(both(pair));
    if (own > tokenBudget) throw overBudget(pair, own, tokenBudget);
    close();
    open = [pair];
  }
  close();
  return batches;
}

/**
 * What edges count in the margins of pairs, row-major [rows, edges]: 1 where the chosen response of the pair has it, −1 where
 * the rejected one has it, 0 where both do; by the response's length if `isAveraged`. Rows beyond the pairs are zeros.
 */
export function marginSigns(
  { edges, offsets, samples }: ForestBatch,
  sizes: { readonly rows: number; readonly edges: number },
  isAveraged: boolean,
): Float32Array {
  const signs = new Float32Array(sizes.rows * sizes.edges);
  samples.forEach((_, s) => {
    const own = edges.subarray(offsets[s], offsets[s + 1]);
    const share = (s % 2 === 0 ? 1 : -1) / (isAveraged ? own.length : 1);
    for (const edge of own) {
      const at = (s >> 1) * sizes.edges + edge;
      signs[at] = (signs[at] as number) + share;
    }
  });
  return signs;
}

function tokensOf(samples: readonly ForestSample[]): number {
  return buildTrie(samples.map(({ ids }) => ids))[0]?.size ?? 0;
}

function emptyPart(pair: number): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `dpo: pairs[${pair}] has an empty part.`,
    why: "prompt, chosen and rejected have one token or more",
    fix: "give the id that begins a text as the prompt, and the id that ends it behind responses",
  });
}

function overBudget(pair: number, tokens: number, tokenBudget: number): ForgeError {
  return new ForgeError({
    code: "context_exceeded",
    what: `dpo: pairs[${pair}] is longer than the token budget.`,
    got: `${tokens} tokens of both responses, with a budget of ${tokenBudget}`,
    why: "a pair is trained in one piece",
    fix: `raise the budget to ${tokens}, or leave the pair out`,
  });
}
