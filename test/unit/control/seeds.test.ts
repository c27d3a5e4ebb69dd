import { expect, it } from "vitest";
import { Random } from "../../../engine/nn/random.ts";
import { seedOf, shuffled } from "../../../src/control/seeds.ts";

it("seedOf gives other seeds for other words, places and lengths", () => {
  const seeds = new Set<number>();
  for (let a = 0; a < 40; a++)
    for (let b = 0; b < 40; b++) seeds.add(seedOf(a, b)).add(seedOf(a, b, 0));
  expect(seeds.size).toBe(3200);
  expect(seedOf(1, 2)).toBe(seedOf(1, 2));
  for (const seed of seeds) expect(seed >>> 0).toBe(seed);
});

it("seedOf spreads: each bit is set in about half of the seeds", () => {
  const seeds = Array.from({ length: 4000 }, (_, n) => seedOf(1, n));
  for (let bit = 0; bit < 32; bit++) {
    const set = seeds.filter((seed) => (seed >>> bit) & 1).length;
    expect(Math.abs(set - 2000)).toBeLessThan(150); // 4.7 standard deviations
  }
});

it("shuffled gives every order equally often", () => {
  const random = new Random(4);
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = shuffled(3, random).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect([...counts.keys()].sort()).toEqual(["012", "021", "102", "120", "201", "210"]);
  for (const n of counts.values()) expect(Math.abs(n - 1000)).toBeLessThan(145); // 5 standard deviations
});
