import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildForest } from "../../../src/pool/forest.ts";
import type { ForestBatch, ForestSample } from "../../../src/pool/forest-batch.ts";
import type { ForestPacking } from "../../../src/pool/forest-packing.ts";
import { edgeCoefficients, gatherEdges } from "../../../src/pool/forest-samples.ts";
import { RecurrentPolicy, type Scored } from "../../reference/recurrent-policy.ts";
import { eventfulEpisodes, valuesFor } from "../../support/episodes.ts";
import { forestSamples } from "../../support/forest-arbitrary.ts";
import { expectClose, randoms } from "../../support/gpu.ts";

const SHAPE = { seed: 3, vocab: 12, prompt: 7, turns: 4, action: 3, observation: 4, group: 4 };
const EXACT = { abs: 1e-12, rel: 1e-12 };

/** A sample by itself: the token at t is read at t − 1. */
function chain({ ids, trained }: ForestSample): Scored {
  const places = trained.flatMap(([from, to]) =>
    Array.from({ length: to - from }, (_, i) => from + i),
  );
  return {
    tokens: ids,
    parent: Array.from(ids, (_, t) => t - 1),
    rows: places.map((t) => t - 1),
    targets: places.map((t) => ids[t] as number),
  };
}

/** Σ over parts of a gradient. */
function total(parts: readonly Float64Array[]): Float64Array {
  return parts.reduce((sum, part) => sum.map((x, i) => x + (part[i] as number)));
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, x, i) => sum + x * (b[i] as number), 0);
}

/** Coefficients of edges by the tokens from the root to them. */
function byPrefix(
  batches: readonly ForestBatch[],
  weights: readonly Float64Array[],
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const batch of batches) {
    const prefix = (place: number): string =>
      place < 0 ? "" : `${prefix(batch.parent[place] as number)} ${batch.tokens[place]}`;
    edgeCoefficients(batch, weights).forEach((c, e) => {
      const key = prefix(batch.places[e] as number);
      sums.set(key, (sums.get(key) ?? 0) + c);
    });
  }
  return sums;
}

/** CISPO's coefficients: the detached ratio, capped, times the advantage; over the tokens with multiplicity. */
function cispo(policy: RecurrentPolicy, samples: readonly ForestSample[]): Float64Array[] {
  const random = randoms(17);
  const count = samples.reduce((n, s) => n + chain(s).rows.length, 0);
  return samples.map((sample) => {
    const advantage = 2 * random.next() - 1;
    return policy.logprobs(chain(sample)).map((logprob) => {
      const atSampling = logprob + 0.8 * (2 * random.next() - 1);
      return (-Math.min(Math.exp(logprob - atSampling), 1.5) * advantage) / count;
    });
  });
}

describe("a loss over a forest", () => {
  const samples = eventfulEpisodes(SHAPE);
  const policy = new RecurrentPolicy(5, SHAPE.vocab);
  const weights = cispo(policy, samples);
  const chains = samples.map(chain);
  const loss = chains.reduce(
    (sum, c, i) => sum + dot(policy.logprobs(c), weights[i] as Float64Array),
    0,
  );
  const gradient = total(chains.map((c, i) => policy.gradient(c, weights[i] as Float64Array)));

  it("FEATURE 15: the log-probs of all trained tokens, first ones behind a branch too, are those of independent samples", () => {
    for (const tokenBudget of [1000, 60]) {
      let branches = 0;
      for (const batch of buildForest(samples, { tokenBudget }).batches) {
        branches += batch.places.filter((place, e) => batch.rows[e] !== place - 1).length;
        gatherEdges(batch, policy.logprobs(batch)).forEach((logprobs, s) => {
          const alone = policy.logprobs(chains[batch.samples[s] as number] as Scored);
          expectClose(logprobs, alone, { abs: 0, rel: 0 }, "log-probs");
        });
      }
      expect(branches).toBeGreaterThan(1);
    }
  });

  it("FEATURE 17: the loss in edge coefficients equals the per-sample loss, and so does its gradient", () => {
    const [batch] = buildForest(samples).batches as [ForestBatch];
    const coefficients = edgeCoefficients(batch, weights);
    expect(batch.multiplicity.some((n) => n > 2)).toBe(true);
    expect(batch.rows.length).toBeLessThan(batch.edges.length);
    expectClose([dot(coefficients, policy.logprobs(batch))], [loss], EXACT, "loss");
    expectClose(policy.gradient(batch, coefficients), gradient, EXACT, "gradient");
    expect(Math.abs(loss)).toBeGreaterThan(0.01);
    expect(Math.max(...gradient)).toBeGreaterThan(0.01);
  });

  it("FEATURE 17: leaving out the first tokens behind branches is another loss", () => {
    const [batch] = buildForest(samples).batches as [ForestBatch];
    const kept = edgeCoefficients(batch, weights).map((c, e) =>
      batch.rows[e] === (batch.places[e] as number) - 1 ? c : 0,
    );
    const off = Math.abs(dot(kept, policy.logprobs(batch)) / loss - 1);
    expect(off).toBeGreaterThan(1e-3);
  });

  const whole = buildForest(samples).report.tree.tokens;
  const longest = Math.max(...samples.map(({ ids }) => ids.length));
  it.each(
    (["first-fit", "depth-first"] as ForestPacking[]).flatMap((packing) =>
      [whole, Math.ceil(whole / 2), Math.ceil(whole / 4), longest].map((tokenBudget) => ({
        packing,
        tokenBudget,
      })),
    ),
  )("FEATURE 18: the same gradient within $tokenBudget tokens, $packing", (options) => {
    const { batches, report } = buildForest(samples, options);
    const parts = batches.map((b) => policy.gradient(b, edgeCoefficients(b, weights)));
    expectClose(total(parts), gradient, EXACT, "gradient");
    for (const { tokens } of batches)
      expect(tokens.length).toBeLessThanOrEqual(options.tokenBudget);
    expect(batches.length).toBeGreaterThanOrEqual(Math.ceil(whole / options.tokenBudget));
    expect(report.trainedTokens).toBe(chains.reduce((n, c) => n + c.rows.length, 0));
    expect(report.unsplit.tokens).toBe(whole);
  });

  it("FEATURE 18: coefficients of the batches add up to those of the unsplit forest, for any samples", () => {
    const packings = fc.constantFrom<ForestPacking>("first-fit", "depth-first");
    fc.assert(
      fc.property(forestSamples, fc.constantFrom(1, 2, 4), packings, (any, parts, packing) => {
        const random = randoms(any.length);
        const anyWeights = valuesFor(any, () => 2 * random.next() - 1);
        const { batches, report } = buildForest(any);
        const budget = Math.max(9, Math.ceil(report.tree.tokens / parts));
        const split = buildForest(any, { tokenBudget: budget, packing }).batches;
        for (const { tokens } of split) expect(tokens.length).toBeLessThanOrEqual(budget);
        const [a, b] = [byPrefix(batches, anyWeights), byPrefix(split, anyWeights)];
        expect(new Set(b.keys())).toEqual(new Set(a.keys()));
        for (const [key, c] of a) expect(Math.abs((b.get(key) as number) - c)).toBeLessThan(1e-12);
      }),
      { numRuns: 200 },
    );
  });

  it("counts samples where every weight is one", () => {
    const [batch] = buildForest(samples).batches as [ForestBatch];
    const ones = valuesFor(samples, () => 1);
    expect([...edgeCoefficients(batch, ones)]).toEqual([...batch.multiplicity]);
  });
});
