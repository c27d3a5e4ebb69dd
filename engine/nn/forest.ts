/**
 * Batches as forests: trees of tokens in depth-first pre-order, one behind the other. Independent sequences are chains.
 */
import { ForgeError } from "../error.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** A forest of T tokens on the host. */
export interface ForestArrays {
  /** The token before each token, −1 at a root. */
  readonly parent: Int32Array;
  /** One past the last descendant of each token. */
  readonly end: Uint32Array;
  /** Distance of each token from its root: its position. */
  readonly depth: Uint32Array;
}

/** What attention needs to know of a forest: `end` and `depth` [T] u32. */
export interface Forest {
  readonly end: Tensor;
  readonly depth: Tensor;
}

/**
 * A forest from the parent of each token, −1 at roots.
 *
 * Errors    `argument_invalid` unless tokens stand in depth-first pre-order: each behind its parent or behind the last
 *           descendant of an elder sibling.
 */
export function forestFromParents(parents: ArrayLike<number>): ForestArrays {
  const count = parents.length;
  const parent = Int32Array.from(parents);
  const end = new Uint32Array(count).fill(count);
  const depth = new Uint32Array(count);
  const path: number[] = [];
  for (let t = 0; t < count; t++) {
    const above = parent[t] as number;
    while (path.length > 0 && path.at(-1) !== above) end[path.pop() as number] = t;
    if (path.length === 0 && above !== -1) {
      throw new ForgeError({
        code: "argument_invalid",
        what: "forest: tokens are not in depth-first pre-order.",
        got: `token ${t} with parent ${above}, whose subtree is closed or does not exist`,
        fix: "list each token behind its parent, and a subtree whole before the next one",
      });
    }
    depth[t] = path.length;
    path.push(t);
  }
  return { parent, end, depth };
}

/**
 * Independent sequences of the given lengths, one behind the other.
 *
 * Errors    `argument_invalid` for a length that is no positive integer.
 */
export function packSequences(lengths: readonly number[]): ForestArrays {
  const bad = lengths.find((length) => !Number.isInteger(length) || length < 1);
  if (bad !== undefined) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "packSequences: a length is no positive integer.",
      got: String(bad),
      fix: "leave empty sequences out",
    });
  }
  const parents: number[] = [];
  for (const length of lengths) {
    for (let t = 0; t < length; t++) parents.push(t === 0 ? -1 : parents.length - 1);
  }
  return forestFromParents(parents);
}

/** The tensors of a forest. Pass them to a compiled function as arguments when they change from call to call. */
export function toForest({ end, depth }: Pick<ForestArrays, "end" | "depth">): Forest {
  return { end: tensor(end), depth: tensor(depth) };
}

/** {@link packSequences} as tensors. */
export function chainForest(lengths: readonly number[]): Forest {
  return toForest(packSequences(lengths));
}
