/** A batch of drawn numbers that tests of policy losses share. */
import type { Aggregation, PolicyBatch, Rows } from "../reference/rl-losses.ts";
import { randoms } from "./gpu.ts";

const random = randoms(11);

/** Lengths of the sequences of the batch. */
const LENGTHS = [5, 1, 8, 3];

/** Every way to sum up. */
export const MODES: readonly Aggregation[] = [
  { mode: "token-mean" },
  { mode: "seq-mean-token-mean" },
  { mode: "seq-mean-token-sum" },
  { mode: "seq-mean-token-sum-norm", horizon: 7 },
];

/** Numbers in [low, high), one row per sequence. */
export function drawRows(low: number, high: number): Float64Array[] {
  return LENGTHS.map((length) => Float64Array.from(random.floats(length, low, high)));
}

/** Two holes and more; nothing of the last sequence is sampled. */
export const MASK = LENGTHS.map((length, i) =>
  Float64Array.from({ length }, (_, t) => (i === 3 || (t % 3 === 1 && length > 1) ? 0 : 1)),
);

export const OLD = drawRows(-2, -0.5);
export const LOGP = moved(OLD, 0.8);
export const ROLLOUT = moved(OLD, 0.5);

/** An advantage and an importance weight per token; what is not differentiated stays at `LOGP`. */
export const BATCH = {
  ...{ logp: LOGP, old: OLD, mask: MASK, frozen: LOGP },
  ...{ advantages: drawRows(-1, 1), importance: drawRows(0.5, 1.5) },
} satisfies PolicyBatch;

/** All rows in one. */
export function flatRows(rows: Rows): number[] {
  return rows.flatMap((row) => Array.from(row));
}

function moved(rows: Rows, by: number): Float64Array[] {
  return rows.map((row) => Float64Array.from(row, (x) => x + (2 * random.next() - 1) * by));
}
