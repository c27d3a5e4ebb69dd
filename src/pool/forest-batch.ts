/** One batch of a forest: nodes of a trie laid out as arrays, with the way from samples to places. */
import { type ForestArrays, forestFromParents } from "../../engine/index.ts";
import type { TrieNode } from "./forest-trie.ts";

/** Tokens [from, to) of a sample. */
export type TokenRange = readonly [from: number, to: number];

/** The tokens of one request. */
export interface ForestSample {
  /** What the policy was fed and, behind it, what it drew. One or more. */
  readonly ids: Uint32Array;
  /** The tokens it is trained on, ascending and apart; from 1, since nothing predicts token 0. */
  readonly trained: readonly TokenRange[];
  /** What samples of one trajectory have in common. Default: a trajectory for each sample. */
  readonly trajectory?: string | number;
}

/**
 * Trees of T tokens, of S samples, in depth-first pre-order: what is computed together.
 *
 * An edge is a token that samples of this batch are trained on, with its parent: the log-prob of `targets[e]` is read at
 * `rows[e]`. A parent with k such children has k rows; other tokens need no head.
 */
export interface ForestBatch extends ForestArrays {
  /** [T]. */
  readonly tokens: Uint32Array;
  /** Which samples these are, ascending [S]. */
  readonly samples: Uint32Array;
  /** Place of each sample's last token [S]; its others stand above. */
  readonly tails: Uint32Array;
  /** Place of each edge's token, ascending [E]. */
  readonly places: Uint32Array;
  /** Place of its parent [E]. */
  readonly rows: Uint32Array;
  /** The token itself [E]. */
  readonly targets: Uint32Array;
  /** How many samples of this batch are trained on it [E]. */
  readonly multiplicity: Uint32Array;
  /** Edge of each trained token, sample by sample: what log-probs are gathered by. Counts an edge for each sample [M]. */
  readonly edges: Uint32Array;
  /** Where each sample's tokens begin in `edges`, and M [S + 1]. */
  readonly offsets: Uint32Array;
}

/** A sample and the node at which it ends. */
export interface SampleEnd {
  readonly sample: number;
  readonly node: number;
}

/** Nodes [N] with the place of the first token of each node of the batch. */
interface Layout {
  readonly nodes: readonly TrieNode[];
  readonly firsts: Uint32Array;
}

/**
 * Lays out the nodes of a batch.
 *
 * `members` are ascending, and with each node come those above it; `ends` are ascending by sample, at members.
 */
export function layOut(
  nodes: readonly TrieNode[],
  members: readonly number[],
  ends: readonly SampleEnd[],
  samples: readonly ForestSample[],
): ForestBatch {
  const layout = { nodes, firsts: new Uint32Array(nodes.length) };
  const { tokens, parent } = tokensOf(layout, members);
  const forest = forestFromParents(parent);
  const { places: trained, offsets } = trainedPlaces(layout, ends, samples);
  const { places, multiplicity, edges } = edgesOf(trained, tokens.length);
  return {
    ...forest,
    tokens,
    samples: Uint32Array.from(ends, ({ sample }) => sample),
    tails: Uint32Array.from(ends, ({ node }) => placeAt(layout, node, nodes[node]?.end ?? 0) - 1),
    places,
    rows: places.map((place) => parent[place] as number),
    targets: places.map((place) => tokens[place] as number),
    multiplicity,
    edges,
    offsets,
  };
}

/** Place of the token at a depth of a node, or of the one that would come after its last. */
function placeAt({ nodes, firsts }: Layout, node: number, depth: number): number {
  return (firsts[node] as number) + depth - (nodes[node] as TrieNode).start;
}

/** Tokens and parents of a batch; notes where each node begins. */
function tokensOf(
  layout: Layout,
  members: readonly number[],
): { tokens: Uint32Array; parent: Int32Array } {
  const { nodes, firsts } = layout;
  let count = 0;
  for (const index of members) {
    const { start, end } = nodes[index] as TrieNode;
    firsts[index] = count;
    count += end - start;
  }
  const tokens = new Uint32Array(count);
  const parent = new Int32Array(count).map((_, place) => place - 1);
  for (const index of members) {
    const { ids, start, end, parent: above } = nodes[index] as TrieNode;
    if (start === end) continue; // the node above all roots
    const first = firsts[index] as number;
    tokens.set(ids.subarray(start, end), first);
    parent[first] = start === 0 ? -1 : placeAt(layout, above, start) - 1;
  }
  return { tokens, parent };
}

/** Places of all trained tokens, sample by sample. */
function trainedPlaces(
  layout: Layout,
  ends: readonly SampleEnd[],
  samples: readonly ForestSample[],
): { places: Uint32Array; offsets: Uint32Array } {
  const offsets = new Uint32Array(ends.length + 1);
  ends.forEach(({ sample }, s) => {
    const { trained } = samples[sample] as ForestSample;
    const count = trained.reduce((sum, [from, to]) => sum + to - from, 0);
    offsets[s + 1] = (offsets[s] as number) + count;
  });
  const places = new Uint32Array(offsets.at(-1) as number);
  ends.forEach(({ sample, node }, s) => {
    let at = offsets[s] as number;
    for (const range of (samples[sample] as ForestSample).trained) {
      writePlaces(layout, node, range, places.subarray(at));
      at += range[1] - range[0];
    }
  });
  return { places, offsets };
}

/** Writes the places of a range of the path that ends at `node`. */
function writePlaces(
  layout: Layout,
  tail: number,
  [from, to]: TokenRange,
  places: Uint32Array,
): void {
  let node = tail;
  for (let past = to; past > from; ) {
    const { start, parent } = layout.nodes[node] as TrieNode;
    const first = Math.max(from, start);
    const place = placeAt(layout, node, first);
    for (let t = first; t < past; t++) places[t - from] = place + t - first;
    past = Math.min(past, first);
    node = parent;
  }
}

/** The distinct ones of the places of trained tokens, how often each is there, and which one each is. */
function edgesOf(
  trained: Uint32Array,
  count: number,
): Pick<ForestBatch, "places" | "multiplicity" | "edges"> {
  const times = new Uint32Array(count);
  for (const place of trained) times[place] = (times[place] as number) + 1;
  const edgeAt = new Uint32Array(count);
  const places = new Uint32Array(times.reduce((sum, n) => sum + Math.min(n, 1), 0));
  let edge = 0;
  times.forEach((n, place) => {
    if (n === 0) return;
    edgeAt[place] = edge;
    places[edge++] = place;
  });
  return {
    places,
    multiplicity: places.map((place) => times[place] as number),
    edges: trained.map((place) => edgeAt[place] as number),
  };
}
