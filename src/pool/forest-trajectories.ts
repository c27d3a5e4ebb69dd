/** Spreads samples over batches such that those of a trajectory stay together, whatever of it was rewritten. */
import { ForgeError } from "../../engine/index.ts";
import type { ForestSample } from "./forest-batch.ts";
import { roomiest } from "./forest-packing.ts";
import type { TrieNode } from "./forest-trie.ts";

/** Nodes of a batch, ascending, and the samples whose loss is its own. */
export interface WholeBatch {
  readonly members: readonly number[];
  readonly samples: ReadonlySet<number>;
}

/** A trajectory: its samples, and the nodes on their paths. */
interface Trajectory {
  readonly samples: readonly number[];
  readonly nodes: ReadonlySet<number>;
  readonly tokens: number;
}

interface Bin {
  readonly nodes: Set<number>;
  readonly samples: Set<number>;
  tokens: number;
}

/**
 * The batches of all trajectories, the largest first, each in the batch where it adds the fewest tokens.
 *
 * Errors    `context_exceeded` for a trajectory that has more tokens than the budget.
 */
export function packTrajectories(
  nodes: readonly TrieNode[],
  samples: readonly ForestSample[],
  budget: number,
): WholeBatch[] {
  const bins: Bin[] = [];
  const trajectories = trajectoriesOf(nodes, samples);
  for (const trajectory of trajectories.sort((a, b) => b.tokens - a.tokens)) {
    if (trajectory.tokens > budget) throw tooLong(trajectory, samples, budget);
    const roomy = roomiest(bins, budget, (some) => addedTokens(nodes, trajectory, some));
    const bin = roomy ?? openBin(bins);
    bin.tokens += addedTokens(nodes, trajectory, bin);
    for (const node of trajectory.nodes) bin.nodes.add(node);
    for (const sample of trajectory.samples) bin.samples.add(sample);
  }
  return bins.map((bin) => {
    return { members: [...bin.nodes].sort((a, b) => a - b), samples: bin.samples };
  });
}

/** In the order of their first samples. */
function trajectoriesOf(
  nodes: readonly TrieNode[],
  samples: readonly ForestSample[],
): Trajectory[] {
  const tails = new Uint32Array(samples.length);
  nodes.forEach(({ samples: ending }, node) => {
    for (const sample of ending) tails[sample] = node;
  });
  const all = new Map<unknown, number[]>();
  samples.forEach(({ trajectory = {} }, sample) => {
    const own = all.get(trajectory);
    if (own) own.push(sample);
    else all.set(trajectory, [sample]);
  });
  return [...all.values()].map((own) => {
    const paths = new Set<number>([0]);
    for (const sample of own) {
      for (let node = tails[sample] as number; !paths.has(node); ) {
        paths.add(node);
        node = (nodes[node] as TrieNode).parent;
      }
    }
    return { samples: own, nodes: paths, tokens: tokensOf(nodes, paths) };
  });
}

function openBin(bins: Bin[]): Bin {
  const bin: Bin = { nodes: new Set(), samples: new Set(), tokens: 0 };
  bins.push(bin);
  return bin;
}

function addedTokens(nodes: readonly TrieNode[], trajectory: Trajectory, bin: Bin): number {
  return tokensOf(
    nodes,
    [...trajectory.nodes].filter((node) => !bin.nodes.has(node)),
  );
}

function tokensOf(nodes: readonly TrieNode[], members: Iterable<number>): number {
  let tokens = 0;
  for (const node of members) {
    const { start, end } = nodes[node] as TrieNode;
    tokens += end - start;
  }
  return tokens;
}

function tooLong(
  { samples: own, tokens }: Trajectory,
  samples: readonly ForestSample[],
  budget: number,
): ForgeError {
  return new ForgeError({
    code: "context_exceeded",
    what: "buildForest: a trajectory is longer than the token budget.",
    got: `${tokens} tokens of ${String(samples[own[0] as number]?.trajectory)}, with a budget of ${budget}`,
    why: "its samples are to stay together",
    fix: `raise the budget to ${tokens}, or leave the trajectory out`,
  });
}
