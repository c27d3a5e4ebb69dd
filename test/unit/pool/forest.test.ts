import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forestFromParents } from "../../../engine/index.ts";
import { buildForest, type ForestOptions } from "../../../src/pool/forest.ts";
import type { ForestBatch, ForestSample } from "../../../src/pool/forest-batch.ts";
import { gatherEdges, pathOf, samplesOf, tokenValues } from "../../../src/pool/forest-samples.ts";
import { forestFromParents as oracle } from "../../reference/attention.ts";
import { eventfulEpisodes } from "../../support/episodes.ts";
import { codeOf } from "../../support/errors.ts";
import { forestSamples } from "../../support/forest-arbitrary.ts";

function sample(ids: readonly number[], ...trained: [number, number][]): ForestSample {
  return { ids: Uint32Array.from(ids), trained };
}

function onlyBatch(samples: readonly ForestSample[]): ForestBatch {
  const { batches } = buildForest(samples);
  expect(batches).toHaveLength(1);
  return batches[0] as ForestBatch;
}

const options = fc.record<ForestOptions>(
  {
    tokenBudget: fc.integer({ min: 9, max: 40 }),
    packing: fc.constantFrom("first-fit", "depth-first"),
  },
  { requiredKeys: [] },
);

describe("FEATURE 13: deconstruct(build(S)) = S bit for bit", () => {
  it("with duplicates, internal-node ends and empty suffixes", () => {
    const shape = { seed: 1, vocab: 50, prompt: 6, turns: 3, action: 4, observation: 5, group: 3 };
    const samples = eventfulEpisodes(shape);
    const forest = buildForest(samples);
    expect(samplesOf(forest)).toEqual(samples.map(({ ids, trained }) => ({ ids, trained })));
    const total = samples.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(forest.batches[0]?.tokens.length).toBeLessThan(total / 2);
  });

  it("for any samples, split or not", () => {
    fc.assert(
      fc.property(forestSamples, options, (samples, how) => {
        expect(samplesOf(buildForest(samples, how))).toEqual(samples);
      }),
      { numRuns: 300 },
    );
  });

  it("gives an empty range back as none", () => {
    const [back] = samplesOf(buildForest([sample([5, 6], [2, 2])]));
    expect(back).toEqual(sample([5, 6]));
  });
});

describe("buildForest", () => {
  it("merges Forge's example: a completion between two others, and a branch", () => {
    const [context, one, two, three] = [
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8, 9],
    ] as const;
    const batch = onlyBatch([
      sample([...context, ...one], [2, 4]),
      sample([...context, ...two], [2, 4]),
      sample([...context, ...two, ...three], [4, 7]),
    ]);
    expect([...batch.tokens]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([...batch.parent]).toEqual([-1, 0, 1, 2, 1, 4, 5, 6, 7]);
    expect([...batch.depth]).toEqual([0, 1, 2, 3, 2, 3, 4, 5, 6]);
    expect([...batch.end]).toEqual([9, 9, 4, 4, 9, 9, 9, 9, 9]);
    expect([...batch.tails]).toEqual([3, 5, 8]);
    // both first tokens behind the branch are read at its last shared token
    expect([...batch.rows]).toEqual([1, 2, 1, 4, 5, 6, 7]);
    expect([...batch.targets]).toEqual([3, 4, 5, 6, 7, 8, 9]);
    expect([...batch.offsets]).toEqual([0, 2, 4, 7]);
  });

  it("counts an edge for each sample that is trained on it, and scores it once", () => {
    const batch = onlyBatch([
      sample([1, 2, 3], [1, 3]),
      sample([1, 2, 3], [1, 3]),
      sample([1, 2, 4], [2, 3]),
    ]);
    expect([...batch.targets]).toEqual([2, 3, 4]);
    expect([...batch.multiplicity]).toEqual([2, 2, 1]);
    expect([...batch.edges]).toEqual([0, 1, 0, 1, 2]);
    expect(gatherEdges(batch, [-1, -2, -3]).map((v) => [...v])).toEqual([[-1, -2], [-1, -2], [-3]]);
  });

  it("keeps trees and branches in the order in which samples first have them", () => {
    const batch = onlyBatch([
      sample([9, 1]),
      sample([3, 1, 7]),
      sample([9, 0]),
      sample([3, 0]),
      sample([3, 1, 2]),
    ]);
    expect([...batch.tokens]).toEqual([9, 1, 0, 3, 1, 7, 2, 0]);
  });

  it("obeys the laws of a forest for any samples", () => {
    fc.assert(
      fc.property(forestSamples, options, (samples, how) => {
        const { batches } = buildForest(samples, how);
        for (const batch of batches) {
          const { parent, end, depth, tokens } = batch;
          expect(forestFromParents(parent)).toEqual({ parent, end, depth });
          expect(oracle(parent)).toEqual({ parent, end, depth });
          const path = (place: number): string =>
            place < 0 ? "" : `${path(parent[place] as number)},${tokens[place]}`;
          const paths = [...tokens.keys()].map(path);
          expect(new Set(paths).size).toBe(paths.length);
          const own = [...batch.samples].map((i) => samples[i] as ForestSample);
          const prefixes = own.flatMap(({ ids }) =>
            [...ids.keys()].map((t) => `,${ids.subarray(0, t + 1).join(",")}`),
          );
          expect(new Set(paths)).toEqual(new Set(prefixes));
          own.forEach(({ ids }, s) => {
            expect(pathOf(batch, s).map((place) => tokens[place] as number)).toEqual(ids);
          });
        }
        const all = batches.flatMap((batch) => [...batch.samples]);
        expect(all.sort((a, b) => a - b)).toEqual([...samples.keys()]);
      }),
      { numRuns: 300 },
    );
  });

  it("reads each trained token at its parent, once for each sample", () => {
    fc.assert(
      fc.property(forestSamples, options, (samples, how) => {
        for (const batch of buildForest(samples, how).batches) {
          const { places, rows, targets, parent, tokens, edges, offsets } = batch;
          expect(rows).toEqual(places.map((place) => parent[place] as number));
          expect(targets).toEqual(places.map((place) => tokens[place] as number));
          const times = new Uint32Array(places.length);
          for (const edge of edges) times[edge] = (times[edge] as number) + 1;
          expect(batch.multiplicity).toEqual(times);
          expect(times.every((n) => n > 0)).toBe(true);
          batch.samples.forEach((i, s) => {
            const path = pathOf(batch, s);
            const trained = (samples[i] as ForestSample).trained.flatMap(([from, to]) => [
              ...path.subarray(from, to),
            ]);
            const own = edges.subarray(offsets[s], offsets[s + 1]);
            expect([...own].map((edge) => places[edge])).toEqual(trained);
          });
        }
      }),
      { numRuns: 200 },
    );
  });

  it("makes nothing of nothing", () => {
    const { batches, report } = buildForest([]);
    expect(batches).toEqual([]);
    expect([report.treeTokenRatio, report.speedupPerRequest.pairs]).toEqual([1, 1]);
  });

  it.each([
    ["no ids", sample([])],
    ["token 0", sample([1, 2], [0, 1])],
    ["a range beyond the end", sample([1, 2], [1, 3])],
    ["a range backwards", sample([1, 2, 3], [2, 1])],
    ["ranges that overlap", sample([1, 2, 3, 4], [1, 3], [2, 4])],
    ["half a token", sample([1, 2, 3], [1, 1.5])],
  ])("refuses a sample with %s", (_, bad) => {
    expect(codeOf(() => buildForest([sample([1]), bad]))).toBe("argument_invalid");
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses a budget of %d", (tokenBudget) => {
    expect(codeOf(() => buildForest([], { tokenBudget }))).toBe("argument_invalid");
  });

  it("refuses a sample longer than the budget, with the numbers", () => {
    const build = () => buildForest([sample([1]), sample([1, 2, 3, 4])], { tokenBudget: 3 });
    expect(codeOf(build)).toBe("context_exceeded");
    expect(build).toThrow(/samples\[1\].*\n.*4 tokens.*budget of 3/);
  });

  it("refuses values that are not those of its tokens", () => {
    const batch = onlyBatch([sample([1, 2, 3], [1, 3])]);
    expect(codeOf(() => tokenValues(batch, [[1]]))).toBe("shape_mismatch");
    expect(codeOf(() => tokenValues(batch, []))).toBe("shape_mismatch");
    expect(codeOf(() => gatherEdges(batch, [1, 2, 3]))).toBe("shape_mismatch");
    expect([...tokenValues(batch, [[1, 2]])]).toEqual([1, 2]);
  });
});
