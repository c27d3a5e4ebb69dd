import { describe, expect, test } from "vitest";
import { expectClose, randoms } from "../support/gpu.ts";

const HALF = { abs: 0.5, rel: 0 };

describe("expectClose", () => {
  test("passes what lies within the tolerance", () => {
    expectClose([1, 2], [1.5, 2], HALF);
    expectClose([110], [100], { abs: 0, rel: 0.1 });
    expectClose([1, 100], [0, 100], { abs: 0, rel: 0, ofLargest: 0.01 });
  });

  test("names the worst element and how many differ", () => {
    expect(() => expectClose([0, 5, 0, 7], [0, 0, 0, 0], HALF, "sums")).toThrow(
      /sums: 2 of 4 elements differ; worst at \[3\]: 7 instead of 0/,
    );
  });

  test("refuses NaN and infinities that are not expected, and takes those that are", () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    expectClose([nan, inf, -inf], [nan, inf, -inf], HALF);
    for (const [a, e] of [
      [nan, 0],
      [0, nan],
      [inf, 1],
      [1, inf],
      [inf, -inf],
    ]) {
      expect(() => expectClose([a as number], [e as number], { abs: 1, rel: 1 })).toThrow();
    }
  });

  test("refuses another number of elements", () => {
    expect(() => expectClose([1], [1, 2], HALF)).toThrow(/1 elements instead of 2/);
  });
});

describe("randoms", () => {
  test("repeats for one seed, differs for another, and stays in its range", () => {
    expect(randoms(3).floats(100, -2, 5)).toEqual(randoms(3).floats(100, -2, 5));
    expect(randoms(3).floats(100)).not.toEqual(randoms(4).floats(100));
    for (const x of randoms(5).floats(1000, -2, 5)) expect(x >= -2 && x < 5).toBe(true);
    for (const i of randoms(6).integers(1000, -2, 5))
      expect(Number.isInteger(i) && i >= -2 && i < 5).toBe(true);
    expect(new Set(randoms(7).integers(200, 0, 4)).size).toBe(4);
  });
});
