import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildForest } from "../../../src/pool/forest.ts";
import type { ForestBatch } from "../../../src/pool/forest-batch.ts";
import { NO_LABEL, padBatch, padValues } from "../../../src/train/learner/padded-batch.ts";
import { eventfulEpisodes } from "../../support/episodes.ts";
import { codeOf } from "../../support/errors.ts";
import { forestSamples } from "../../support/forest-arbitrary.ts";

const SHAPE = { seed: 1, vocab: 50, prompt: 6, turns: 3, action: 4, observation: 5, group: 3 };

function batchOf(tokens: number, samples = 1): ForestBatch {
  const chains = Array.from({ length: samples }, (_, s) => ({
    ids: Uint32Array.from({ length: tokens / samples }, () => s),
    trained: [[1, 2]] as [[number, number]],
  }));
  return buildForest(chains).batches[0] as ForestBatch;
}

describe("a padded batch", () => {
  it("has the batch's arrays first", () => {
    const [batch] = buildForest(eventfulEpisodes(SHAPE)).batches as [ForestBatch];
    const padded = padBatch(batch);
    for (const key of ["tokens", "end", "depth", "rows", "targets", "edges", "offsets"] as const) {
      expect(padded[key].subarray(0, batch[key].length)).toEqual(batch[key]);
    }
    expect(padded.real).toEqual({
      tokens: batch.tokens.length,
      edges: batch.targets.length,
      trained: batch.edges.length,
      sequences: batch.tails.length,
    });
  });

  it("pads by what takes part in nothing", () => {
    fc.assert(
      fc.property(forestSamples, (samples) => {
        for (const batch of buildForest(samples).batches) {
          const { sizes, real, ...arrays } = padBatch(batch);
          const { tokens, end, depth, rows, targets, edges, offsets } = arrays;
          for (let t = real.tokens; t < sizes.tokens; t++) {
            expect([tokens[t], end[t], depth[t]]).toEqual([0, t + 1, 0]);
          }
          for (let e = real.edges; e < sizes.edges; e++) {
            expect([rows[e], targets[e]]).toEqual([0, NO_LABEL]);
          }
          for (let m = real.trained; m < sizes.trained; m++) {
            expect(edges[m]).toBeGreaterThanOrEqual(real.edges);
            expect(edges[m]).toBeLessThan(sizes.edges);
          }
          expect([...offsets.subarray(real.sequences)]).toEqual(
            new Array(sizes.sequences - real.sequences + 1).fill(real.trained),
          );
          expect([tokens, end, depth].map((a) => a.length)).toEqual(
            new Array(3).fill(sizes.tokens),
          );
        }
      }),
    );
  });

  it("has one of few sizes, above which tokens are by less than an eighth", () => {
    const seen = new Set<number>();
    for (let count = 64; count <= 2048; count += 7) {
      const { sizes } = padBatch(batchOf(count));
      expect(sizes.tokens).toBeGreaterThanOrEqual(count);
      expect(sizes.tokens).toBeLessThan(1.125 * count);
      seen.add(sizes.tokens);
    }
    expect([...seen].slice(0, 10)).toEqual([64, 72, 80, 88, 96, 104, 112, 120, 128, 144]);
    expect(seen.size).toBe(1 + 5 * 8);
    const many = padBatch(batchOf(400, 100));
    expect(many.sizes).toEqual({ tokens: 416, edges: 112, trained: 128, sequences: 256 });
  });

  it("stays within the budget, and refuses a batch that does not", () => {
    expect(padBatch(batchOf(1180), { tokenBudget: 1200 }).sizes.tokens).toBe(1200);
    expect(padBatch(batchOf(1200), { tokenBudget: 1200 }).sizes.tokens).toBe(1200);
    expect(codeOf(() => padBatch(batchOf(1201), { tokenBudget: 1200 }))).toBe("argument_invalid");
  });
});

describe("padded values", () => {
  it("are followed by zeros, and never cut", () => {
    expect([...padValues([0.5, -2], 4)]).toEqual([0.5, -2, 0, 0]);
    expect(codeOf(() => padValues([1, 2, 3], 2))).toBe("shape_mismatch");
  });
});
