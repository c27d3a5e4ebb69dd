import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildForest } from "../../../src/pool/forest.ts";
import type { ForestSample } from "../../../src/pool/forest-batch.ts";
import { samplesOf } from "../../../src/pool/forest-samples.ts";
import { codeOf } from "../../support/errors.ts";
import { forestSamples } from "../../support/forest-arbitrary.ts";

const HAS = { hasWholeTrajectories: true } as const;

describe("a forest with whole trajectories", () => {
  it("has all samples of each in one batch, within the budget, and loses nothing", () => {
    fc.assert(
      fc.property(forestSamples, fc.integer({ min: 1, max: 6 }), (plain, count) => {
        const samples = plain.map((sample, i) => ({ ...sample, trajectory: i % count }));
        const trajectories = [...new Set(samples.map(({ trajectory }) => trajectory))];
        const largest = trajectories.map((own) => {
          return buildForest(samples.filter(({ trajectory }) => trajectory === own)).report.tree;
        });
        const tokenBudget = Math.max(1, ...largest.map(({ tokens }) => tokens));
        const forest = buildForest(samples, { ...HAS, tokenBudget });
        for (const { tokens } of forest.batches)
          expect(tokens.length).toBeLessThanOrEqual(tokenBudget);
        for (const own of trajectories) {
          const batches = forest.batches.filter((batch) =>
            batch.samples.some((s) => samples[s]?.trajectory === own),
          );
          expect(batches).toHaveLength(1);
        }
        expect(samplesOf(forest)).toEqual(plain);
      }),
    );
  });

  it("counts samples of no trajectory each for one, and puts together what shares", () => {
    const sample = (ids: number[], trajectory?: string): ForestSample => {
      return { ids: Uint32Array.from(ids), trained: [], ...(trajectory && { trajectory }) };
    };
    const samples = [
      sample([1, 2, 3, 4], "a"),
      sample([9, 9], "b"),
      sample([7, 8], "a"),
      sample([1, 2, 3, 5]),
      sample([9, 9, 9]),
    ];
    const { batches } = buildForest(samples, { ...HAS, tokenBudget: 7 });
    expect(batches.map(({ samples: own }) => [...own])).toEqual([
      [0, 2, 3],
      [1, 4],
    ]);
  });

  it("refuses one that is longer than the budget, though its samples are not", () => {
    const samples = [1, 2].map((id): ForestSample => {
      return { ids: new Uint32Array(4).fill(id), trained: [], trajectory: "long" };
    });
    expect(codeOf(() => buildForest(samples, { ...HAS, tokenBudget: 7 }))).toBe("context_exceeded");
    expect(buildForest(samples, { ...HAS, tokenBudget: 8 }).batches).toHaveLength(1);
    expect(buildForest(samples, { tokenBudget: 7 }).batches).toHaveLength(2);
  });
});
