/** A radix trie of token sequences: what samples have in common stands in it once. */

/** Tokens without a branch between them. */
export interface TrieNode {
  /** The first sequence that has these tokens: they are [start, end) of it, which is also their depth. */
  readonly ids: Uint32Array;
  readonly start: number;
  readonly end: number;
  /** Index of the node above, −1 for the first node. */
  readonly parent: number;
  /** One past the last node below. */
  readonly past: number;
  /** Tokens of the node and of all nodes below. */
  readonly size: number;
  /** Sequences that end here, ascending. */
  readonly samples: readonly number[];
}

/** A node while the trie grows; children in the order in which they first appeared. */
interface Run {
  readonly ids: Uint32Array;
  start: number;
  readonly end: number;
  readonly children: Map<number, Run>;
  readonly samples: number[];
}

/**
 * The nodes of the trie of all sequences, in depth-first pre-order; siblings in the order in which they first appeared. The
 * first node is empty and stands above all roots.
 */
export function buildTrie(sequences: readonly Uint32Array[]): TrieNode[] {
  const root = makeRun(new Uint32Array(0), 0, 0);
  sequences.forEach((ids, sample) => {
    insert(root, ids, sample);
  });
  return inPreOrder(root);
}

/** As {@link buildTrie}, but nothing is shared: each sequence is a node of its own. */
export function buildChains(sequences: readonly Uint32Array[]): TrieNode[] {
  const empty = new Uint32Array(0);
  const size = sequences.reduce((sum, { length }) => sum + length, 0);
  const past = sequences.length + 1;
  const first: TrieNode = { ids: empty, start: 0, end: 0, parent: -1, past, size, samples: [] };
  const chains = sequences.map((ids, i): TrieNode => {
    const { length } = ids;
    return { ids, start: 0, end: length, parent: 0, past: i + 2, size: length, samples: [i] };
  });
  return [first, ...chains];
}

/** Whether nothing stands below a node of the trie. */
export function isLeaf({ past }: TrieNode, index: number): boolean {
  return past === index + 1;
}

function makeRun(ids: Uint32Array, start: number, end: number): Run {
  return { ids, start, end, children: new Map(), samples: [] };
}

function insert(root: Run, ids: Uint32Array, sample: number): void {
  let run = root;
  while (run.end < ids.length) {
    const first = ids[run.end] as number;
    const child = run.children.get(first);
    const next = child
      ? cut(child, firstDifference(child, ids))
      : makeRun(ids, run.end, ids.length);
    run.children.set(first, next);
    run = next;
  }
  run.samples.push(sample);
}

/** The depth at which a sequence that begins as `run` does leaves it. */
function firstDifference({ ids: own, start, end }: Run, ids: Uint32Array): number {
  const most = Math.min(end, ids.length);
  let t = start + 1;
  while (t < most && own[t] === ids[t]) t++;
  return t;
}

/** The part of a run above depth `at`, with the rest below it. */
function cut(run: Run, at: number): Run {
  if (at === run.end) return run;
  const upper = makeRun(run.ids, run.start, at);
  upper.children.set(run.ids[at] as number, run);
  run.start = at;
  return upper;
}

function inPreOrder(root: Run): TrieNode[] {
  const nodes: (TrieNode & { past: number; size: number })[] = [];
  const open = [{ run: root, parent: -1 }];
  for (let top = open.pop(); top; top = open.pop()) {
    const { run, parent } = top;
    const { ids, start, end, samples } = run;
    const index = nodes.length;
    nodes.push({ ids, start, end, parent, past: index + 1, size: end - start, samples });
    for (const child of [...run.children.values()].reverse())
      open.push({ run: child, parent: index });
  }
  for (let index = nodes.length - 1; index > 0; index--) {
    const { parent, past, size } = nodes[index] as TrieNode;
    const above = nodes[parent] as (typeof nodes)[number];
    above.past = Math.max(above.past, past);
    above.size += size;
  }
  return nodes;
}
