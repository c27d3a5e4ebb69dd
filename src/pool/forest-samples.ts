/** From the edges of a forest back to its samples, and from what is known of samples to its edges. */
import { ForgeError } from "../../engine/index.ts";
import type { SampleForest } from "./forest.ts";
import type { ForestBatch, ForestSample, TokenRange } from "./forest-batch.ts";

/** The place of each token of the sample `batch.samples[s]`. */
export function pathOf({ depth, parent, tails }: ForestBatch, s: number): Uint32Array {
  let place = tails[s] as number;
  const path = new Uint32Array((depth[place] as number) + 1);
  for (let t = path.length - 1; t >= 0; t--) {
    path[t] = place;
    place = parent[place] as number;
  }
  return path;
}

/** The samples that a forest was built from, in their order: tokens and what is trained, ranges as long as can be. */
export function samplesOf({ batches }: SampleForest): ForestSample[] {
  const samples: ForestSample[] = [];
  for (const batch of batches) {
    batch.samples.forEach((sample, s) => {
      const ids = pathOf(batch, s).map((place) => batch.tokens[place] as number);
      samples[sample] = { ids, trained: trainedRanges(batch, s) };
    });
  }
  return samples;
}

function trainedRanges({ depth, places, edges, offsets }: ForestBatch, s: number): TokenRange[] {
  const ranges: [number, number][] = [];
  for (const edge of edges.subarray(offsets[s], offsets[s + 1])) {
    const t = depth[places[edge] as number] as number;
    const last = ranges.at(-1);
    if (last?.[1] === t) last[1] = t + 1;
    else ranges.push([t, t + 1]);
  }
  return ranges;
}

/**
 * Values of trained tokens in the order of `batch.edges` [M]: what a loss takes beside the gathered log-probs, such as the
 * log-probs at sampling or advantages.
 *
 * `perSample` has a list for each sample that the forest was built from, of one value for each of its trained tokens.
 *
 * Errors    `shape_mismatch`.
 */
export function tokenValues(
  { samples, offsets, edges }: ForestBatch,
  perSample: readonly ArrayLike<number>[],
): Float64Array {
  const values = new Float64Array(edges.length);
  samples.forEach((sample, s) => {
    const [start, end] = [offsets[s] as number, offsets[s + 1] as number];
    const own = perSample[sample] ?? [];
    if (own.length !== end - start) {
      throw new ForgeError({
        code: "shape_mismatch",
        what: "tokenValues: a sample has another number of trained tokens.",
        got: `${own.length} values for sample ${sample}, which is trained on ${end - start} tokens`,
        fix: "pass a list for each sample, of one value for each of its trained tokens",
      });
    }
    values.set(own, start);
  });
  return values;
}

/**
 * The coefficient C of each edge [E] in a loss that is linear in log-probs: Σ over samples, Σ over their trained tokens of
 * weight · log-prob is Σ over edges of C · log-prob.
 *
 * Weights are constants, and as {@link tokenValues} takes them; a ratio to the log-probs at sampling is each sample's own. Sums
 * of batches add up to those of the unsplit forest.
 *
 * Errors    `shape_mismatch`.
 */
export function edgeCoefficients(
  batch: ForestBatch,
  weights: readonly ArrayLike<number>[],
): Float64Array {
  const coefficients = new Float64Array(batch.rows.length);
  const values = tokenValues(batch, weights);
  batch.edges.forEach((edge, m) => {
    coefficients[edge] = (coefficients[edge] as number) + (values[m] as number);
  });
  return coefficients;
}

/**
 * What edges have, such as log-probs, for each trained token of each sample of the batch: [s] is of `batch.samples[s]`. On the
 * GPU it is `take(values, batch.edges)`.
 *
 * Errors    `shape_mismatch` unless there is one value for each edge.
 */
export function gatherEdges(
  { edges, offsets, rows, samples }: ForestBatch,
  values: ArrayLike<number>,
): Float64Array[] {
  if (values.length !== rows.length) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "gatherEdges: the values are not those of the batch's edges.",
      got: `${values.length} values for ${rows.length} edges`,
      fix: "pass one value for each edge",
    });
  }
  return Array.from(samples, (_, s) =>
    Float64Array.from(edges.subarray(offsets[s], offsets[s + 1]), (edge) => values[edge] as number),
  );
}
