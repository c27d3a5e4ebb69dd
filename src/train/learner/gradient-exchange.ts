/** How several nodes make one update: each has a share of its samples, and all have the same weights after it. */
import { ForgeError, type Watch } from "../../../engine/index.ts";
import type { GradientStep } from "./gradient-step.ts";

/** Samples from `from` to before `to`. */
export interface Share {
  readonly from: number;
  readonly to: number;
}

/** Gradients of this node's share [flat parameters], and the optimizer that they are for. */
export type OwnGradients = Pick<
  GradientStep<never, never>,
  "length" | "isEmpty" | "readback" | "step" | "stepWith"
>;

/** What goes between nodes in an update. All call the same methods in the same order. */
export interface GradientExchange {
  /** Elements that gradients are added up in, so that what is done can leave. */
  readonly pieceSize: number;
  /** Whether it clips gradients itself, and the optimizer is not to. */
  readonly isClipping: boolean;
  /**
   * This node's share of samples that lie one behind the other. Together the shares of all nodes are all samples.
   *
   * @param tokens of each sample
   * @param episodes of each sample, which no two nodes share
   */
  shareOf(tokens: readonly number[], episodes: readonly number[]): Share;
  /** Element-wise sums over all nodes of finite values [the same length at all]. */
  sum(values: Float32Array): Promise<Float32Array>;
  /** An update begins, whose gradients are yet to be computed. */
  begin(gradients: OwnGradients): Promise<SharedUpdate>;
}

/** An update of all nodes, under way. */
export interface SharedUpdate {
  /** Of the call that computes the last gradients: they leave meanwhile. */
  readonly watch: Watch | undefined;
  /** All gradients have been computed. Fulfilled when they have left: whether those of this node are sound. */
  added(): Promise<boolean>;
  /** One step with those of all; their global L2 norm before clipping. */
  step(): Promise<number>;
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
