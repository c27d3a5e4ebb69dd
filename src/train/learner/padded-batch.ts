/** Batches of a forest padded to few sizes: a compiled function has one plan for each size, whatever the samples are. */
import { ForgeError, type Tensor, tensor } from "../../../engine/index.ts";
import type { ForestBatch } from "../../pool/forest-batch.ts";

/** How long the arrays of a batch are. */
export interface BatchSizes {
  /** T, the tokens that go through the layers. */
  readonly tokens: number;
  /** E, the rows that go through the head. */
  readonly edges: number;
  /** M, the trained tokens of all samples. */
  readonly trained: number;
  /** S. */
  readonly sequences: number;
}

/**
 * A {@link ForestBatch} with arrays of padded lengths; its own come first.
 *
 * Padding changes no result: its tokens are roots that see nothing and that nobody sees, its edges read the first row and
 * have no label (log-prob 0), its trained tokens take such an edge and belong to no sequence, and its sequences are empty.
 */
export interface PaddedBatch {
  /** Lengths with padding. */
  readonly sizes: BatchSizes;
  /** Lengths without. */
  readonly real: BatchSizes;
  /** [T]; padding 0. */
  readonly tokens: Uint32Array;
  /** [T]. */
  readonly end: Uint32Array;
  /** [T]; padding 0. */
  readonly depth: Uint32Array;
  /** [E]; padding 0. */
  readonly rows: Uint32Array;
  /** [E]; padding {@link NO_LABEL}. */
  readonly targets: Uint32Array;
  /** [M]; padding takes the last edge, which is padding. */
  readonly edges: Uint32Array;
  /** [S + 1]; padding repeats the last one. */
  readonly offsets: Uint32Array;
}

/** What log-probs of edges are computed from, as arguments of a compiled function. */
export type EdgeTensors = Readonly<Record<"tokens" | "end" | "depth" | "rows" | "targets", Tensor>>;

/** All arrays of a {@link PaddedBatch} as arguments of a compiled function, which has a plan for each of their sizes. */
export type BatchTensors = EdgeTensors & Readonly<Record<"edges" | "offsets", Tensor>>;

/** Options of {@link padBatch}. */
export interface PadOptions {
  /** Tokens that are never exceeded by padding: the budget of the forest. Default: none. */
  readonly tokenBudget?: number;
  /** Where sequences begin among the trained tokens, and M [S + 1]. Default: a sequence for each sample. */
  readonly offsets?: Uint32Array;
}

/** A label beyond every vocabulary: the head gives log-prob 0 and no gradient. */
export const NO_LABEL = 0xffffffff;

/** Shortest arrays of tokens, edges and trained tokens. */
const SHORTEST = 64;
/** Fewest sequences; four times as many for each further size, since an empty one costs next to nothing. */
const FEWEST_SEQUENCES = 16;

/** Plans of a function of batches that are kept, each with the memory of its size. */
export const KEPT_PLANS = 8;

/**
 * Pads a batch to sizes of which there are few: 64, 72, 80, … 128, 144, … tokens, 64, 80, 96, … 128, 160, … edges, powers of
 * two of trained tokens, 16, 64, 256, … sequences. Tokens, which cost the most, are padded by less than an eighth, edges by
 * less than a quarter.
 *
 * Errors    `argument_invalid` for a batch larger than the budget.
 */
export function padBatch(batch: ForestBatch, options: PadOptions = {}): PaddedBatch {
  const { tokenBudget = Number.POSITIVE_INFINITY, offsets = batch.offsets } = options;
  const real: BatchSizes = {
    tokens: batch.tokens.length,
    edges: batch.rows.length,
    trained: batch.edges.length,
    sequences: offsets.length - 1,
  };
  if (real.tokens > tokenBudget) throw overBudget(real.tokens, tokenBudget);
  const sizes: BatchSizes = {
    tokens: Math.min(stepped(real.tokens, 8), tokenBudget),
    // one at least is padding: what padded trained tokens take
    edges: stepped(real.edges + 1, 4),
    trained: SHORTEST * 2 ** steps(real.trained, SHORTEST, 2),
    sequences: FEWEST_SEQUENCES * 4 ** steps(real.sequences, FEWEST_SEQUENCES, 4),
  };
  return {
    sizes,
    real,
    tokens: padded(batch.tokens, sizes.tokens, 0),
    end: padded(batch.end, sizes.tokens, 0).map((end, t) => (t < real.tokens ? end : t + 1)),
    depth: padded(batch.depth, sizes.tokens, 0),
    rows: padded(batch.rows, sizes.edges, 0),
    targets: padded(batch.targets, sizes.edges, NO_LABEL),
    edges: padded(batch.edges, sizes.trained, sizes.edges - 1),
    offsets: padded(offsets, sizes.sequences + 1, real.trained),
  };
}

/**
 * Values of trained tokens [M] or edges [E], as f32 with zeros behind them: weights, advantages, log-probs at sampling.
 *
 * Errors    `shape_mismatch` when there are more than `length`.
 */
export function padValues(values: ArrayLike<number>, length: number): Float32Array {
  if (values.length > length) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "padValues: there are more values than places.",
      got: `${values.length} values for ${length} places`,
      fix: "pass the values of the batch that was padded",
    });
  }
  const all = new Float32Array(length);
  all.set(values);
  return all;
}

/** The tensors of a padded batch that losses over edges need: two sizes less to have plans for. */
export function edgeTensors({ tokens, end, depth, rows, targets }: PaddedBatch): EdgeTensors {
  return {
    tokens: tensor(tokens),
    end: tensor(end),
    depth: tensor(depth),
    rows: tensor(rows),
    targets: tensor(targets),
  };
}

/** The tensors of a padded batch. */
export function batchTensors(batch: PaddedBatch): BatchTensors {
  const { edges, offsets } = batch;
  return { ...edgeTensors(batch), edges: tensor(edges), offsets: tensor(offsets) };
}

/** How often `from` must be multiplied by `factor` to hold `count`. */
function steps(count: number, from: number, factor: number): number {
  let n = 0;
  for (let size = from; size < count; size *= factor) n++;
  return n;
}

/** The least of 64, 128, 256, … and of `parts` − 1 even steps between them, that holds `count`. */
function stepped(count: number, parts: number): number {
  const power = SHORTEST * 2 ** steps(count, SHORTEST, 2);
  if (power === SHORTEST) return power;
  const step = power / 2 / parts;
  return step * Math.ceil(count / step);
}

function padded(values: Uint32Array, length: number, padding: number): Uint32Array {
  const all = new Uint32Array(length).fill(padding);
  all.set(values);
  return all;
}

function overBudget(tokens: number, tokenBudget: number): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "padBatch: the batch is larger than the budget.",
    got: `${tokens} tokens, with a budget of ${tokenBudget}`,
    fix: "pass the budget that the forest was built with",
  });
}
