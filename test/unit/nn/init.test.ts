import { describe, expect, it } from "vitest";
import {
  constantInit,
  type DrawnInit,
  kaimingNormalInit,
  kaimingUniformInit,
  normalInit,
  orthogonalInit,
  residualInit,
  uniformInit,
  xavierNormalInit,
  xavierUniformInit,
} from "../../../engine/nn/init.ts";
import { Random } from "../../../engine/nn/random.ts";

const SHAPE = [200, 300];

function moments(values: ArrayLike<number>): { mean: number; std: number; largest: number } {
  const all = Array.from(values);
  const mean = all.reduce((a, b) => a + b) / all.length;
  const std = Math.sqrt(all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length);
  return { mean, std, largest: Math.max(...all.map(Math.abs)) };
}

describe("initial weights", () => {
  it.each([
    ["normal", normalInit(0.5), 0.5],
    ["Glorot normal", xavierNormalInit(), Math.sqrt(2 / 500)],
    ["Glorot normal with gain", xavierNormalInit(5 / 3), (5 / 3) * Math.sqrt(2 / 500)],
    ["He normal", kaimingNormalInit(), Math.sqrt(2 / 200)],
    ["GPT-2's residual", residualInit(8), 0.02 / 4],
  ] as [string, DrawnInit, number][])("%s has its standard deviation", (_, init, std) => {
    const drawn = moments(init(SHAPE, new Random(1)));
    expect(Math.abs(drawn.std / std - 1)).toBeLessThan(0.01);
    expect(Math.abs(drawn.mean)).toBeLessThan(0.02 * std);
    expect(drawn.largest).toBeGreaterThan(3.5 * std);
  });

  it.each([
    ["uniform", uniformInit(0.5), 0.5],
    ["Glorot uniform", xavierUniformInit(), Math.sqrt(6 / 500)],
    ["He uniform", kaimingUniformInit(), Math.sqrt(6 / 200)],
    ["PyTorch's linear", kaimingUniformInit(Math.sqrt(1 / 3)), Math.sqrt(1 / 200)],
  ] as [string, DrawnInit, number][])("%s fills its interval", (_, init, bound) => {
    const drawn = moments(init(SHAPE, new Random(1)));
    expect(drawn.largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(drawn.largest).toBeGreaterThan(0.999 * bound);
    expect(Math.abs(drawn.std / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.01);
  });

  it("constant is constant", () => {
    expect(constantInit(2)([3], new Random(1))).toBe(2);
  });

  it.each([
    ["tall", [64, 5], 2, 5],
    ["square", [64, 64], Math.SQRT2, 64],
    ["wide", [4, 64], 0.01, 4],
    ["of three axes", [3, 4, 7], 1, 7],
    ["a vector", [9], 3, 1],
  ] as [string, number[], number, number][])(
    "orthogonal, %s: gain² on the diagonal",
    (_, shape, gain, rank) => {
      const columns = shape.at(-1) as number;
      const w = orthogonalInit(gain)(shape, new Random(3));
      const rows = w.length / columns;
      expect(Math.min(rows, columns)).toBe(rank);
      // the shorter side's vectors: columns of a tall matrix, rows of a wide one
      const vector = (n: number): number[] =>
        rows >= columns
          ? Array.from({ length: rows }, (_, r) => w[r * columns + n] as number)
          : [...w.slice(n * columns, (n + 1) * columns)];
      for (let a = 0; a < rank; a++) {
        for (let b = 0; b <= a; b++) {
          const other = vector(b);
          const dot = vector(a).reduce((sum, x, i) => sum + x * (other[i] as number), 0);
          expect(Math.abs(dot / gain ** 2 - (a === b ? 1 : 0))).toBeLessThan(1e-6);
        }
      }
    },
  );

  it("orthogonal is uniformly drawn: each entry has variance 1 / size", () => {
    const random = new Random(1);
    const firsts = Array.from({ length: 2000 }, () => orthogonalInit()([4, 4], random));
    for (let i = 0; i < 16; i++) {
      const drawn = moments(firsts.map((w) => w[i] as number));
      expect(Math.abs(drawn.mean)).toBeLessThan(0.04);
      expect(Math.abs(drawn.std - 0.5)).toBeLessThan(0.03);
    }
  });
});
