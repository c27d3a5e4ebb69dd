import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  maskedMoments,
  mean,
  median,
  normalized,
  perToken,
  standardDeviation,
  whiten,
} from "../../../src/rl/statistics.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

describe("statistics of samples", () => {
  it("have the mean, the unbiased deviation and the median", () => {
    const values = [2, 4, 4, 10];
    expectClose(
      [mean(values), standardDeviation(values), median(values)],
      [5, Math.sqrt(12), 4],
      CLOSE,
    );
    expect(median([3, 11, 5])).toBe(5);
    expect([standardDeviation([7]), standardDeviation([])]).toEqual([1, 1]);
  });

  it("give equal numbers back exactly", () => {
    const value = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(value, fc.integer({ min: 2, max: 50 }), (x, count) => {
        const values = new Array<number>(count).fill(x + 0);
        expect([mean(values), standardDeviation(values)]).toEqual([x + 0, 0]);
        expect([...normalized(values)]).toEqual(new Array(count).fill(0));
      }),
    );
  });

  it("normalise by the deviation and 1e-8", () => {
    expectClose(
      normalized([1, 3]),
      [-1, 1].map((x) => x / (Math.SQRT2 + 1e-8)),
      CLOSE,
    );
  });
});

describe("statistics of sampled tokens", () => {
  const rows = [[1, 99, 3], [5]];
  const mask = [[1, 0, 1], [1]];

  it("see nothing else", () => {
    const { count, mean: centre, variance } = maskedMoments(rows, mask);
    expectClose([count, centre, variance], [3, 3, 4], { abs: 1e-7, rel: 0 });
    expect(maskedMoments([[1, -7, 3], [5]], mask)).toEqual({ count, mean: centre, variance });
  });

  it("whiten every token by them", () => {
    const white = whiten(rows, mask);
    expectClose(
      white.flatMap((row) => [...row]),
      [-1, 48, 0, 1],
      { abs: 1e-6, rel: 0 },
    );
  });

  it("whiten to zeros with fewer than two tokens", () => {
    expect(whiten([[4, 5]], [[0, 1]])).toEqual([new Float64Array(2)]);
    expect(maskedMoments([[4, 5]], [[0, 1]]).variance).toBe(0);
    expect(whiten([], [])).toEqual([]);
  });

  it("spread a number per sample over its tokens", () => {
    expect(perToken([2, 3], mask).map((row) => [...row])).toEqual([[2, 0, 2], [3]]);
  });

  it("refuse masks that are none", () => {
    expect(codeOf(() => whiten(rows, [[1, 1, 1]]))).toBe("shape_mismatch");
    expect(codeOf(() => whiten(rows, [[1, 1], [1]]))).toBe("shape_mismatch");
    expect(codeOf(() => whiten(rows, [[1, 2, 1], [1]]))).toBe("argument_invalid");
  });
});
