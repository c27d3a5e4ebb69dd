/** How the steps of an episode, or its tokens, hang together where they are not one line: agents side by side, sub-agents. */
import { ForgeError } from "../../engine/error.ts";
import type { Episode } from "./episode.ts";
import { checkSameLength, finite, type Row } from "./rows.ts";

/** The nodes are steps or tokens, in an order in which each comes after those that it follows from. */
export interface Chains {
  /** [nodes] the node that each follows; `null` for the first of a chain. Several may follow one. */
  readonly parents: readonly (number | null)[];
  /**
   * What the episode earned as a whole, such as its outcome. It is paid once, when the longest chain has ended, and every node
   * has led to it; what nodes earned by themselves goes to those before them in their chain alone.
   */
  readonly shared: number;
}

/** Chains of the steps of an episode; undefined where they are one line, and all that comes later follows from what was before. */
export function stepChains({ steps }: Episode): Chains | undefined {
  const parents = steps.map(({ parent }, t) => (parent === undefined && t > 0 ? t - 1 : parent));
  if (parents.every((parent, t) => (t === 0 ? parent == null : parent === t - 1))) return undefined;
  return {
    parents: parents.map((parent) => parent ?? null),
    shared: steps.reduce((sum, { shared = 0 }) => sum + shared, 0),
  };
}

/**
 * The same of its tokens: the first one of a step follows the last one of the step before it in its chain.
 *
 * @throws ForgeError `argument_invalid` for a step without tokens, behind which nothing can stand
 */
export function tokenChains(episode: Episode): Chains | undefined {
  const chains = stepChains(episode);
  if (!chains) return undefined;
  const parents: (number | null)[] = [];
  const ends: number[] = [];
  for (const [t, { tokens }] of episode.steps.entries()) {
    if (tokens === 0) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "advantages: a step of an episode with several chains has no tokens",
        got: `step ${t}`,
        fix: "leave such steps out",
      });
    }
    const parent = chains.parents[t] ?? null;
    parents.push(parent === null ? null : (ends[parent] as number));
    for (let i = 1; i < tokens; i++) parents.push(parents.length - 1);
    ends.push(parents.length - 1);
  }
  return { parents, shared: chains.shared };
}

/**
 * [nodes] What is shared, as each node sees it: γ^(D − d)·shared at depth d, D being the depth of the deepest. Nodes that are
 * equally far from the start see the same, whatever their own chain comes to.
 */
export function sharedToGo({ parents, shared }: Chains, gamma: number): Float64Array {
  const depths = depthsOf(parents);
  const deepest = depths.reduce((most, depth) => Math.max(most, depth), 0);
  return Float64Array.from(depths, (depth) => gamma ** (deepest - depth) * shared);
}

/** [nodes] Nodes before each in its chain. */
export function depthsOf(parents: Chains["parents"]): number[] {
  const depths: number[] = [];
  for (const parent of parents) depths.push(parent === null ? 0 : (depths[parent] as number) + 1);
  return depths;
}

/**
 * Throws unless each parent is before its node, and there is one for each number.
 *
 * @throws ForgeError `argument_invalid`; `shape_mismatch`; `non_finite`
 */
export function checkChains(what: string, { parents, shared }: Chains, nodes: Row): void {
  checkSameLength(what, { nodes, parents });
  finite(`${what}: what is shared`, shared);
  for (const [t, parent] of parents.entries()) checkParent(what, parent, t);
}

/** Throws unless a parent is before its node. Errors: `argument_invalid`. */
export function checkParent(what: string, parent: number | null, node: number): void {
  if (parent === null || (Number.isInteger(parent) && parent >= 0 && parent < node)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `${what}: what ${node} follows is not before it`,
    got: String(parent),
    fix: "number nodes in an order in which each comes after the one that it follows; null for the first of a chain",
  });
}
