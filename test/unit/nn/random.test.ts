import { describe, expect, it } from "vitest";
import { Random } from "../../../engine/nn/random.ts";

/** xoshiro128** as published, with BigInts, seeded by the same finalizer of MurmurHash3 on a Weyl sequence. */
function xoshiro(seed: bigint, count: number): number[] {
  const mask = 0xffff_ffffn;
  const rotate = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & mask;
  let at = seed;
  const s = [0, 1, 2, 3].map(() => {
    at = (at + 0x9e3779b9n) & mask;
    let z = at;
    z = ((z ^ (z >> 16n)) * 0x85ebca6bn) & mask;
    z = ((z ^ (z >> 13n)) * 0xc2b2ae35n) & mask;
    return z ^ (z >> 16n);
  }) as [bigint, bigint, bigint, bigint];
  return Array.from({ length: count }, () => {
    const result = (rotate((s[1] * 5n) & mask, 7n) * 9n) & mask;
    const t = (s[1] << 9n) & mask;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 11n);
    return Number(result);
  });
}

describe("Random", () => {
  it("gives the bits of xoshiro128**", () => {
    for (const seed of [0, 1, 12345, 0xffff_ffff]) {
      const random = new Random(seed);
      const actual = Array.from({ length: 100 }, () => random.bits());
      expect(actual).toEqual(xoshiro(BigInt(seed), 100));
    }
  });

  it("gives these very numbers, on every platform", () => {
    const random = new Random(42);
    expect([random.bits(), random.bits()]).toEqual([2837322924, 544945897]);
    expect([random.uniform(), random.normal(), random.normal()]).toEqual([
      0.11170196393504739, -0.3451611523044512, 0.5451510525327208,
    ]);
  });

  it("draws integers below a count, each as often", () => {
    const random = new Random(3);
    const counts = new Array<number>(7).fill(0);
    for (let n = 0; n < 70_000; n++) {
      const i = random.integer(7);
      counts[i] = (counts[i] as number) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });

  it("draws normal numbers: mean 0, variance 1, kurtosis 3, none correlated with the next", () => {
    const random = new Random(4);
    const count = 200_000;
    const x = Float64Array.from({ length: count }, () => random.normal());
    const mean = (power: (x: number, i: number) => number): number =>
      x.reduce((sum, value, i) => sum + power(value, i), 0) / count;
    expect(Math.abs(mean((v) => v))).toBeLessThan(0.01);
    expect(Math.abs(mean((v) => v ** 2) - 1)).toBeLessThan(0.01);
    expect(Math.abs(mean((v) => v ** 3))).toBeLessThan(0.03);
    expect(Math.abs(mean((v) => v ** 4) - 3)).toBeLessThan(0.07);
    expect(Math.abs(mean((v, i) => v * (x[i + 1] ?? 0)))).toBeLessThan(0.01);
    const beyond = x.filter((v) => Math.abs(v) > 1.959964).length / count;
    expect(Math.abs(beyond - 0.05)).toBeLessThan(0.002);
  });
});
