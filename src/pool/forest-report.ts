/** What merging saves, against the two ways of training without it. */
import type { ForestBatch, ForestSample } from "./forest-batch.ts";
import { buildTrie, isLeaf, type TrieNode } from "./forest-trie.ts";

/** What a forward pass has to compute. */
export interface ForestCost {
  readonly tokens: number;
  /** Pairs of a query and a key that it sees: what attention costs. */
  readonly pairs: number;
}

/** What a forest costs and what it saves. */
export interface ForestReport {
  /** Tokens that samples are trained on, an edge once for each sample: the normaliser of a token mean. */
  readonly trainedTokens: number;
  /** Rows of the head: an edge once for each batch. */
  readonly scoredTokens: number;
  /** The batches as they are, repeated prefixes included. */
  readonly tree: ForestCost;
  /** The same in one batch. */
  readonly unsplit: ForestCost;
  /** Each sample by itself. */
  readonly perRequest: ForestCost;
  /** Each trajectory's turns joined as long as they only append; a rewritten history begins a sequence of its own. */
  readonly perTrajectory: ForestCost;
  /** Tokens of the trees, relative to those of the samples by themselves. */
  readonly treeTokenRatio: number;
  /** The same for pairs of query and key. */
  readonly treePairRatio: number;
  /** How many times less there is to compute than with each sample by itself. A bound: a step has fixed costs too. */
  readonly speedupPerRequest: ForestCost;
  /** How many times less than with joined turns, which is what other trainers do. */
  readonly speedupPerTrajectory: ForestCost;
}

/** The report of a forest of `samples`, merged to `nodes` and split into `batches`. Ratios of nothing to nothing are 1. */
export function reportForest(
  samples: readonly ForestSample[],
  nodes: readonly TrieNode[],
  batches: readonly ForestBatch[],
): ForestReport {
  const tree = sum(batches.map((batch) => treeCost(batch)));
  const perRequest = sum(samples.map(({ ids }) => costBetween(0, ids.length)));
  const perTrajectory = sum(trajectoriesOf(samples).map(joinedCost));
  const relative = ratio(tree, perRequest);
  return {
    trainedTokens: batches.reduce((total, { edges }) => total + edges.length, 0),
    scoredTokens: batches.reduce((total, { rows }) => total + rows.length, 0),
    tree,
    unsplit: sum(nodes.map(({ start, end }) => costBetween(start, end))),
    perRequest,
    perTrajectory,
    treeTokenRatio: relative.tokens,
    treePairRatio: relative.pairs,
    speedupPerRequest: ratio(perRequest, tree),
    speedupPerTrajectory: ratio(perTrajectory, tree),
  };
}

/** Tokens at depths [start, end) of a path: each sees itself and all above it. */
function costBetween(start: number, end: number): ForestCost {
  return { tokens: end - start, pairs: (end * (end + 1) - start * (start + 1)) / 2 };
}

function treeCost({ depth }: ForestBatch): ForestCost {
  return { tokens: depth.length, pairs: depth.reduce((pairs, d) => pairs + d + 1, 0) };
}

function trajectoriesOf(samples: readonly ForestSample[]): Uint32Array[][] {
  const all = new Map<unknown, Uint32Array[]>();
  for (const sample of samples) {
    const key = sample.trajectory ?? {};
    const known = all.get(key);
    if (known) known.push(sample.ids);
    else all.set(key, [sample.ids]);
  }
  return [...all.values()];
}

/** A sequence that another one continues costs nothing of its own. */
function joinedCost(sequences: readonly Uint32Array[]): ForestCost {
  const [first] = sequences;
  if (first && sequences.length === 1) return costBetween(0, first.length);
  const longest = buildTrie(sequences).filter(isLeaf);
  return sum(longest.map(({ end }) => costBetween(0, end)));
}

function sum(costs: readonly ForestCost[]): ForestCost {
  let [tokens, pairs] = [0, 0];
  for (const cost of costs) {
    tokens += cost.tokens;
    pairs += cost.pairs;
  }
  return { tokens, pairs };
}

function ratio(a: ForestCost, b: ForestCost): ForestCost {
  const of = (x: number, y: number): number => (y === 0 ? 1 : x / y);
  return { tokens: of(a.tokens, b.tokens), pairs: of(a.pairs, b.pairs) };
}
