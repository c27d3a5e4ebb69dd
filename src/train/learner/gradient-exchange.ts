/** How several nodes make one update: each has a share of its samples, and all have the same weights after it. */
import { ForgeError } from "../../../engine/index.ts";

/** Samples from `from` to before `to`. */
export interface Share {
  readonly from: number;
  readonly to: number;
}

/** An update as an exchange sees it. */
export interface ExchangedGradient {
  /** Of this node's share [flat parameters]. */
  readonly gradient: Float32Array;
  /** Steps the optimizer of this node with a gradient [flat parameters], which is clipped already. */
  readonly step: (gradient: Float32Array) => Promise<unknown>;
}

/** What goes between nodes in an update. All call the same methods in the same order. */
export interface GradientExchange {
  /**
   * This node's share of samples that lie one behind the other. Together the shares of all nodes are all samples.
   *
   * @param tokens of each sample
   * @param episodes of each sample, which no two nodes share
   */
  shareOf(tokens: readonly number[], episodes: readonly number[]): Share;
  /** Element-wise sums over all nodes of finite values [the same length at all]. */
  sum(values: Float32Array): Promise<Float32Array>;
  /** One step with the sum of all gradients; its global L2 norm before clipping. */
  step(gradient: ExchangedGradient): Promise<number>;
}

/** What a node knows of an update, and what it wants to know. */
export interface SharedFacts {
  /** To be added up. */
  readonly sums: readonly number[];
  /** Of each sample of the update a row; those of this node's share are known, the others are filled in. */
  readonly rows: readonly (readonly Float64Array[])[];
  readonly share: Share;
  /** Whether all else that this node has is {@link isAddable}. */
  readonly isSound: boolean;
}

/** Of f32, and of 2¹⁶ nodes, which are the most that there can be. */
const LARGEST = 2 ** 111;

/** Whether a value is finite, and its sum with those of all other nodes will be. */
export function isAddable(value: number): boolean {
  return Math.abs(value) < LARGEST;
}

/**
 * Adds up sums, and completes rows, at all nodes.
 *
 * Errors    `non_finite`, at all nodes, when some node has a value that is not finite, or so large that a sum may not be.
 */
export async function exchangeFacts(
  exchange: GradientExchange,
  { sums, rows, share, isSound }: SharedFacts,
): Promise<number[]> {
  const isOwn = (sample: number): boolean => sample >= share.from && sample < share.to;
  const own = rows.flatMap((all) =>
    all.flatMap((row, sample) => (isOwn(sample) ? Array.from(row) : new Array(row.length).fill(0))),
  );
  const isGood = isSound && [...sums, ...own].every(isAddable);
  const facts = isGood ? [0, ...sums, ...own] : [1, ...[...sums, ...own].fill(0)];
  const [spoilt, ...all] = await exchange.sum(Float32Array.from(facts));
  if (spoilt !== 0) throw spoiltAtSome(spoilt as number);
  let at = sums.length;
  for (const row of rows.flat()) {
    for (let i = 0; i < row.length; i++) row[i] = all[at + i] as number;
    at += row.length;
  }
  return all.slice(0, sums.length);
}

function spoiltAtSome(nodes: number): ForgeError {
  return new ForgeError({
    code: "non_finite",
    what: "learner: the update is not finite; the weights are as they were before it.",
    got: `a loss, log-prob or gradient that is not a number at ${nodes} of the nodes`,
    why: "one such update would make every weight NaN",
    fix: "lower the learning rate, or look at the saved batch for rewards or log-probs that stand out",
  });
}
