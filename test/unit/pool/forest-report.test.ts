import { describe, expect, it } from "vitest";
import { buildForest } from "../../../src/pool/forest.ts";
import type { ForestSample } from "../../../src/pool/forest-batch.ts";
import { episodes, eventfulEpisodes } from "../../support/episodes.ts";

/** Tokens and attention pairs by the definition: each token sees itself and all above. */
function chainPairs(length: number): number {
  return (length * (length + 1)) / 2;
}

describe("FEATURE 19: tree_token_ratio, the ratio of attention pairs, and both speed-ups", () => {
  // shapes of published runs, a hundredth as long: prompt 8k, 300 tokens drawn and 1,200 fed back in a turn, group 8
  const shape = { seed: 2, vocab: 2 ** 17, prompt: 80, action: 3, observation: 12, group: 8 };

  it.each([
    { turns: 10, tokens: 10.2, pairs: 5.8, joined: 1.47 },
    { turns: 30, tokens: 20.1, pairs: 12.2, joined: 1.16 },
    { turns: 80, tokens: 45.1, pairs: 28.8, joined: 1.06 },
  ])("$turns turns: $tokens× the tokens, $pairs× the pairs, $joined× with turns joined", (row) => {
    const { report } = buildForest(episodes({ ...shape, turns: row.turns }));
    expect(report.speedupPerRequest.tokens).toBeCloseTo(row.tokens, 1);
    expect(Math.abs(report.speedupPerRequest.pairs - row.pairs)).toBeLessThan(0.1);
    expect(report.speedupPerTrajectory.tokens).toBeCloseTo(row.joined, 2);
    expect(report.treeTokenRatio).toBeCloseTo(1 / report.speedupPerRequest.tokens, 12);
    expect(report.treePairRatio).toBeCloseTo(1 / report.speedupPerRequest.pairs, 12);
    // an episode by itself gives (turns + 1) / 2 at most
    expect(report.speedupPerRequest.tokens).toBeLessThan((shape.group * (row.turns + 1)) / 2);
  });

  it("is what counting one by one gives, split too", () => {
    const samples = eventfulEpisodes({ ...shape, vocab: 20, prompt: 9, turns: 3 });
    for (const tokenBudget of [1000, 80]) {
      const { batches, report } = buildForest(samples, { tokenBudget });
      const tokens = batches.reduce((n, batch) => n + batch.tokens.length, 0);
      let pairs = 0;
      for (const { end } of batches) {
        for (let k = 0; k < end.length; k++) pairs += (end[k] as number) - k; // every query that sees it
      }
      expect(report.tree).toEqual({ tokens, pairs });
      const lengths = samples.map(({ ids }) => ids.length);
      expect(report.perRequest).toEqual({
        tokens: lengths.reduce((a, b) => a + b),
        pairs: lengths.reduce((sum, n) => sum + chainPairs(n), 0),
      });
      expect(report.treeTokenRatio).toBe(tokens / report.perRequest.tokens);
      expect(report.treePairRatio).toBe(pairs / report.perRequest.pairs);
      expect(report.scoredTokens).toBeLessThan(report.trainedTokens);
    }
    expect(buildForest(samples, { tokenBudget: 80 }).report.tree.tokens).toBeGreaterThan(
      buildForest(samples).report.tree.tokens,
    );
  });

  it("joins the turns of a trajectory while they append, and starts anew where history is rewritten", () => {
    const turn = (trajectory: string, ...ids: number[]): ForestSample => ({
      ids: Uint32Array.from(ids),
      trained: [],
      trajectory,
    });
    const { report } = buildForest([
      turn("a", 1, 2),
      turn("a", 1, 2, 3, 4),
      turn("a", 1, 9, 5),
      turn("b", 1, 2, 3),
      { ids: Uint32Array.of(1, 2), trained: [] },
      { ids: Uint32Array.of(1, 2), trained: [] },
    ]);
    expect(report.perTrajectory).toEqual({ tokens: 4 + 3 + 3 + 2 + 2, pairs: 10 + 6 + 6 + 3 + 3 });
    expect(report.tree.tokens).toBe(6);
    expect(report.speedupPerTrajectory.tokens).toBe(14 / 6);
  });
});
