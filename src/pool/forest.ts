/**
 * The forest of an optimizer step: samples that share prefixes, merged so that each shared token is computed once.
 *
 * One request is one sample, merged with others by token ids, never by text: a history that was tokenized anew costs merging,
 * not correctness. The log-prob of a token is read at its parent, not by a shift of one, so the first token behind a branch is
 * trained like any other. A batch goes through the model with `toForest(batch)`, and only `rows` of it through the head.
 * Source: MiniMax Forge, prefix tree merging (2026).
 */
import { ForgeError } from "../../engine/index.ts";
import { type ForestBatch, type ForestSample, layOut } from "./forest-batch.ts";
import { type ForestPacking, packTrie } from "./forest-packing.ts";
import { type ForestReport, reportForest } from "./forest-report.ts";
import { packTrajectories, type WholeBatch } from "./forest-trajectories.ts";
import { buildChains, buildTrie, type TrieNode } from "./forest-trie.ts";

/** Options of {@link buildForest}. */
export interface ForestOptions {
  /** Tokens of a batch at most. Default: all are in one batch. */
  readonly tokenBudget?: number;
  /** How samples are spread over batches. Default `first-fit`. */
  readonly packing?: ForestPacking;
  /** Whether samples share their common prefixes. Default true; false is packing and nothing more, for comparisons. */
  readonly isMerged?: boolean;
  /**
   * Whether all samples of a trajectory are in one batch, as losses need that compare sums over it. The packing is then a
   * first fit of whole trajectories. Default false.
   */
  readonly hasWholeTrajectories?: boolean;
}

/** What {@link buildForest} gives. */
export interface SampleForest {
  /** A batch none of whose samples is trained has no edges. */
  readonly batches: readonly ForestBatch[];
  readonly report: ForestReport;
}

/**
 * Merges samples into trees, in batches of at most `tokenBudget` tokens.
 *
 * Trees and branches stand in the order in which samples first have them. Each sample is in exactly one batch with all its
 * trained tokens, so a loss over samples is the sum of its batches' whatever its form, and so is its gradient; a prefix that
 * a split repeats is computed again, and nothing else.
 *
 * Errors    `argument_invalid`; `context_exceeded` for a sample, or a trajectory that is to be whole, longer than the budget.
 */
export function buildForest(
  samples: readonly ForestSample[],
  options: ForestOptions = {},
): SampleForest {
  const { tokenBudget = Number.POSITIVE_INFINITY, packing = "first-fit" } = options;
  const { isMerged = true, hasWholeTrajectories = false } = options;
  checkBudget(tokenBudget);
  samples.forEach((sample, i) => {
    checkSample(sample, i, tokenBudget);
  });
  const nodes = (isMerged ? buildTrie : buildChains)(samples.map(({ ids }) => ids));
  const packed: readonly (Pick<WholeBatch, "members"> & Partial<WholeBatch>)[] =
    hasWholeTrajectories
      ? packTrajectories(nodes, samples, tokenBudget)
      : packTrie(nodes, tokenBudget, packing).map((members) => ({ members }));
  // a sample that ends above a cut goes into the first batch that has its path
  const isPlaced = new Uint8Array(samples.length);
  const batches = packed.map(({ members, samples: own }) => {
    const ends = members
      .flatMap((node) => (nodes[node] as TrieNode).samples.map((sample) => ({ sample, node })))
      .filter(({ sample }) => !isPlaced[sample] && (own?.has(sample) ?? true))
      .sort((a, b) => a.sample - b.sample);
    for (const { sample } of ends) isPlaced[sample] = 1;
    return layOut(nodes, members, ends, samples);
  });
  return { batches, report: reportForest(samples, nodes, batches) };
}

function checkBudget(tokenBudget: number): void {
  if (tokenBudget === Number.POSITIVE_INFINITY) return;
  if (Number.isInteger(tokenBudget) && tokenBudget > 0) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "buildForest: the token budget cannot be used.",
    got: String(tokenBudget),
    why: "it is a positive integer",
    fix: "correct it, or leave it out for a single batch",
  });
}

function checkSample({ ids, trained }: ForestSample, i: number, tokenBudget: number): void {
  if (ids.length > tokenBudget) {
    throw new ForgeError({
      code: "context_exceeded",
      what: `buildForest: samples[${i}] is longer than the token budget.`,
      got: `${ids.length} tokens, with a budget of ${tokenBudget}`,
      why: "a sample is trained in one piece",
      fix: `raise the budget to ${ids.length}, or leave the sample out`,
    });
  }
  if (ids.length === 0) throw refused(i, "no ids", "a request has at least one token");
  let past = 1;
  for (const [from, to] of trained) {
    const isRange = Number.isInteger(from) && Number.isInteger(to);
    if (!isRange || from < past || to < from || to > ids.length) {
      const why = `ranges are ascending, apart and within 1 to ${ids.length}: nothing predicts token 0`;
      throw refused(i, `tokens ${from} to ${to} trained`, why);
    }
    past = to;
  }
}

function refused(i: number, got: string, why: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `buildForest: samples[${i}] cannot be used.`,
    got,
    why,
    fix: "correct it",
  });
}
