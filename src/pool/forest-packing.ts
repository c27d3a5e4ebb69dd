/** Splits a trie into batches of a bounded number of tokens; what stands above a cut is in both parts. */
import { isLeaf, type TrieNode } from "./forest-trie.ts";

/**
 * How a trie is split.
 *
 * `first-fit`: by the largest subtrees that fit, largest first, each into the batch where it adds the fewest tokens. Few
 * batches, and what belongs together stays together.
 *
 * `depth-first`: by single leaves in depth-first order, each batch until it is full. A cut repeats one path from a root to a
 * leaf and nothing else, so a budget of the longest sample bounds memory by one path.
 */
export type ForestPacking = "first-fit" | "depth-first";

/** A batch while it is filled. */
interface Bin {
  /** Subtrees that are here whole, by their topmost nodes. */
  readonly tops: number[];
  /** Nodes above them. */
  readonly above: Set<number>;
  tokens: number;
}

/**
 * The nodes of each batch, ascending: with a node come all nodes above it, and each leaf is in one batch.
 *
 * The path to each leaf must fit into `budget` tokens.
 */
export function packTrie(
  nodes: readonly TrieNode[],
  budget: number,
  packing: ForestPacking,
): number[][] {
  const bins: Bin[] = [];
  const isFirstFit = packing === "first-fit";
  for (const top of isFirstFit ? largestSubtrees(nodes, budget) : leaves(nodes)) {
    const open = isFirstFit ? bins : bins.slice(-1);
    const bin = roomiest(open, budget, (some) => addedTokens(nodes, top, some));
    place(nodes, top, bin ?? openBin(bins));
  }
  return bins.map((bin) => nodesOf(nodes, bin));
}

/** Topmost nodes of the largest subtrees that fit together with what stands above them, the largest first. */
function largestSubtrees(nodes: readonly TrieNode[], budget: number): number[] {
  const tops: number[] = [];
  let index = 1;
  while (index < nodes.length) {
    const { start, size, past } = nodes[index] as TrieNode;
    const fits = start + size <= budget;
    if (fits) tops.push(index);
    index = fits ? past : index + 1;
  }
  const tokens = (top: number): number => {
    const { start, size } = nodes[top] as TrieNode;
    return start + size;
  };
  return tops.sort((a, b) => tokens(b) - tokens(a) || a - b);
}

function leaves(nodes: readonly TrieNode[]): number[] {
  return [...nodes.keys()].filter((index) => index > 0 && isLeaf(nodes[index] as TrieNode, index));
}

/** The batch that has room and where the fewest tokens are added; the first of equals. */
export function roomiest<B extends { readonly tokens: number }>(
  bins: readonly B[],
  budget: number,
  addedTo: (bin: B) => number,
): B | undefined {
  let best: B | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const bin of bins) {
    const added = addedTo(bin);
    if (added >= fewest || bin.tokens + added > budget) continue;
    best = bin;
    fewest = added;
  }
  return best;
}

function openBin(bins: Bin[]): Bin {
  const bin: Bin = { tops: [], above: new Set([0]), tokens: 0 };
  bins.push(bin);
  return bin;
}

/** Tokens of a subtree and of what stands above it but not yet in the batch. */
function addedTokens(nodes: readonly TrieNode[], top: number, { above }: Bin): number {
  const { start, size, parent } = nodes[top] as TrieNode;
  let shared = parent;
  while (!above.has(shared)) shared = (nodes[shared] as TrieNode).parent;
  return size + start - (nodes[shared] as TrieNode).end;
}

function place(nodes: readonly TrieNode[], top: number, bin: Bin): void {
  bin.tokens += addedTokens(nodes, top, bin);
  bin.tops.push(top);
  let { parent } = nodes[top] as TrieNode;
  while (!bin.above.has(parent)) {
    bin.above.add(parent);
    parent = (nodes[parent] as TrieNode).parent;
  }
}

function nodesOf(nodes: readonly TrieNode[], { tops, above }: Bin): number[] {
  const all = [...above];
  for (const top of tops) {
    const { past } = nodes[top] as TrieNode;
    for (let index = top; index < past; index++) all.push(index);
  }
  return all.sort((a, b) => a - b);
}
