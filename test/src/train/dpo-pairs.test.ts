import { describe, expect, it } from "vitest";
import {
  marginSigns,
  type PreferencePair,
  pairBatches,
  samplesOfPairs,
} from "../../../src/train/supervised/dpo-pairs.ts";
import { codeOf } from "../../support/errors.ts";

const PAIRS: readonly PreferencePair[] = [
  { prompt: [1, 2], chosen: [3, 4, 5], rejected: [3, 6] },
  { prompt: [1, 2], chosen: [3], rejected: [7, 8] },
  { prompt: [9], chosen: [4], rejected: [5] },
];

describe("pairs as samples", () => {
  it("are two sequences each, trained on the responses", () => {
    expect(samplesOfPairs(PAIRS.slice(0, 1))).toEqual([
      { ids: Uint32Array.of(1, 2, 3, 4, 5), trained: [[2, 5]] },
      { ids: Uint32Array.of(1, 2, 3, 6), trained: [[2, 4]] },
    ]);
  });

  it.each(["prompt", "chosen", "rejected"])("are refused with an empty %s", (part) => {
    const pair = { ...(PAIRS[0] as PreferencePair), [part]: [] };
    expect(codeOf(() => samplesOfPairs([pair]))).toBe("argument_invalid");
  });
});

describe("batches of pairs", () => {
  const samples = samplesOfPairs(PAIRS);

  it("hold whole pairs, and what they begin with once", () => {
    const [whole, ...others] = pairBatches(samples, 100);
    expect(others).toEqual([]);
    expect(whole?.pairs).toEqual([0, 1, 2]);
    expect([...(whole?.forest.tokens ?? [])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 5]);
    expect([...(whole?.forest.samples ?? [])]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  // 6, 5 and 3 tokens; 8 of the first two together
  it.each([
    [11, [[0, 1, 2]]],
    [10, [[0, 1], [2]]],
    [8, [[0, 1], [2]]],
    [7, [[0], [1], [2]]],
    [6, [[0], [1], [2]]],
  ])("are as full as %i tokens let them be", (budget, expected) => {
    const batches = pairBatches(samples, budget);
    expect(batches.map(({ pairs }) => pairs)).toEqual(expected);
    for (const { forest } of batches) expect(forest.tokens.length).toBeLessThanOrEqual(budget);
  });

  it("are refused where a pair does not fit", () => {
    expect(codeOf(() => pairBatches(samples, 5))).toBe("context_exceeded");
  });
});

describe("signs of margins", () => {
  const { forest } = pairBatches(samplesOfPairs(PAIRS), 100)[0] as ReturnType<
    typeof pairBatches
  >[0];
  const edges = forest.rows.length;
  const rowsOf = (isAveraged: boolean): number[][] => {
    const signs = marginSigns(forest, { rows: 4, edges: edges + 1 }, isAveraged);
    return [0, 1, 2, 3].map((row) => [
      ...signs.subarray(row * (edges + 1), (row + 1) * (edges + 1)),
    ]);
  };

  it("are 1, −1, and 0 for what both begin with", () => {
    // edges: 3 4 5 6 behind [1, 2]; 7 8; 4 5 behind [9]; one of padding
    expect([...forest.targets]).toEqual([3, 4, 5, 6, 7, 8, 4, 5]);
    expect(rowsOf(false)).toEqual([
      [0, 1, 1, -1, 0, 0, 0, 0, 0],
      [1, 0, 0, 0, -1, -1, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 1, -1, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
  });

  it("are shares of the response for means", () => {
    const [first] = rowsOf(true) as [number[]];
    const expected = [1 / 3 - 1 / 2, 1 / 3, 1 / 3, -1 / 2, 0, 0, 0, 0, 0];
    expected.forEach((share, edge) => {
      expect(first[edge]).toBeCloseTo(share, 6);
    });
  });
});
