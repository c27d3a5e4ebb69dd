import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildForest, type ForestOptions } from "../../../src/pool/forest.ts";
import type { ForestSample } from "../../../src/pool/forest-batch.ts";
import { forestSamples } from "../../support/forest-arbitrary.ts";

/** Samples of the given lengths behind a shared prefix; their own tokens are their own. */
function branches(prefix: number, lengths: readonly number[], first = 0): ForestSample[] {
  return lengths.map((length, i) => {
    const ids = new Uint32Array(prefix + length).fill(1000 * (first + i + 1), prefix);
    return { ids: ids.map((id, t) => (t < prefix ? first : id + t)), trained: [] };
  });
}

function sizes(samples: readonly ForestSample[], options: ForestOptions): number[] {
  return buildForest(samples, options).batches.map(({ tokens }) => tokens.length);
}

describe("a forest within a token budget", () => {
  it("packs the largest first, each into the first of equal batches", () => {
    expect(sizes(branches(0, [2, 8, 2, 8, 2, 8]), { tokenBudget: 10 })).toEqual([10, 10, 10]);
    expect(sizes(branches(0, [3, 6, 6]), { tokenBudget: 10 })).toEqual([9, 6]);
  });

  it("puts branches where their prefix is already", () => {
    const samples = [...branches(10, [4, 4], 0), ...branches(10, [4, 4], 5)];
    const mixed = [samples[0], samples[2], samples[1], samples[3]] as ForestSample[];
    const { batches, report } = buildForest(mixed, { tokenBudget: 18 });
    expect(batches.map(({ samples: own }) => [...own])).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect(report.tree.tokens).toBe(36);
  });

  it("cuts no tree that fits, and a tree that does not only as far as it must", () => {
    const small = branches(4, [3, 3], 7);
    const large = branches(6, [5, 5, 5], 0);
    const { batches } = buildForest([...small, ...large], { tokenBudget: 17 });
    // 6 + 5 + 5; then the third branch, 6 + 5, and the small tree, 4 + 3 + 3, are too much for one batch
    expect(batches.map(({ tokens }) => tokens.length).sort()).toEqual([10, 11, 16].sort());
    const homes = small.map((_, i) => batches.findIndex(({ samples }) => samples.includes(i)));
    expect(new Set(homes).size).toBe(1);
  });

  it("repeats one path for each cut in depth-first order, and bounds a batch by one path", () => {
    const samples = branches(10, [4, 6, 3, 5]);
    expect(sizes(samples, { tokenBudget: 20, packing: "depth-first" })).toEqual([20, 18]);
    expect(sizes(samples, { tokenBudget: 16, packing: "depth-first" })).toEqual([14, 16, 13, 15]);
  });

  it("puts a sample that ends above a cut into one batch", () => {
    const whole = branches(6, [4, 4]);
    const inner = { ids: (whole[0] as ForestSample).ids.slice(0, 6), trained: [[3, 6]] as const };
    const { batches } = buildForest([...whole, inner, inner], { tokenBudget: 10 });
    expect(batches.map(({ samples }) => [...samples])).toEqual([[0, 2, 3], [1]]);
    expect(batches.map(({ edges, rows }) => [edges.length, rows.length])).toEqual([
      [6, 3],
      [0, 0],
    ]);
  });

  it("never computes more than the samples by themselves, nor in more batches", () => {
    fc.assert(
      fc.property(
        forestSamples,
        fc.integer({ min: 9, max: 40 }),
        fc.constantFrom("first-fit" as const, "depth-first" as const),
        (samples, tokenBudget, packing) => {
          const { batches, report } = buildForest(samples, { tokenBudget, packing });
          expect(report.tree.tokens).toBeLessThanOrEqual(report.perRequest.tokens);
          expect(report.tree.tokens).toBeGreaterThanOrEqual(report.unsplit.tokens);
          expect(batches.length).toBeLessThanOrEqual(samples.length);
          // neighbours in depth-first order do not fit into one batch
          if (packing !== "depth-first") return;
          const again = batches.slice(1).map(({ samples: own }, b) => {
            const before = batches[b]?.samples ?? new Uint32Array();
            const both = [...before, ...own].sort((x, y) => x - y);
            return buildForest(both.map((i) => samples[i] as ForestSample)).report.tree.tokens;
          });
          for (const tokens of again) expect(tokens).toBeGreaterThan(tokenBudget);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("is the same each time", () => {
    fc.assert(
      fc.property(forestSamples, fc.integer({ min: 9, max: 30 }), (samples, tokenBudget) => {
        expect(buildForest(samples, { tokenBudget })).toEqual(
          buildForest(samples, { tokenBudget }),
        );
      }),
      { numRuns: 50 },
    );
  });
});
