import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ElementRange } from "../../../cluster/ring/segments.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { ringSum } from "../../reference/ring-sum.ts";
import { randoms } from "../../support/gpu.ts";
import { shuffled, simulateRing } from "../../support/ring.ts";

const WORLDS = [1, 2, 3, 4, 5, 6, 7, 8];

function totalsOf(world: number): number[] {
  const around = [...new Set([0, 1, world - 1, world, world + 1])];
  return [...around, ...around.map((blocks) => blocks * BLOCK + 1), 257, 4099, 8191];
}

/** Of each rank: numbers of one size, other ones in each block. */
function contributionsOf(world: number, total: number, seed: number): Float32Array[] {
  return Array.from({ length: world }, (_, rank) => {
    const random = randoms(1000 * seed + rank);
    const values = random.floats(total);
    return values.map((x, i) => x * 2 ** (Math.floor(i / BLOCK) % 9));
  });
}

function isSame(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(Buffer.from(a.slice().buffer), Buffer.from(b.slice().buffer)) === 0;
}

/** In f64, element by element. */
function summed(vectors: readonly Float32Array[], of: (x: number) => number = (x) => x): number[] {
  return Array.from(vectors[0] as Float32Array, (_, i) =>
    vectors.reduce((sum, vector) => sum + of(vector[i] as number), 0),
  );
}

/**
 * How far from the f64 sum each element may be. A sum of magnitudes at most M is rounded once in f32 and once for the wire
 * at each of N ranks, by a share of what is there: of the element itself, or in int8 of the greatest of its block.
 */
function boundsOf(contributions: readonly Float32Array[], wire: WireType): number[] {
  const world = contributions.length;
  const magnitudes = summed(contributions, Math.abs);
  const share = { f32: 0, bf16: 2 ** -8, int8: (1 / 254) * (1 + 2 ** -12) }[wire];
  const growth = (1 + share + 2 ** -22) ** world - 1;
  return magnitudes.map((magnitude, i) => {
    const block = Math.floor(i / BLOCK) * BLOCK;
    const greatest = Math.max(...magnitudes.slice(block, block + BLOCK));
    return growth * (wire === "int8" ? greatest : magnitude);
  });
}

/** A vector in buckets of whole blocks, in any order. */
function bucketsOf(total: number, seed: number): ElementRange[] {
  const random = randoms(seed);
  const buckets: ElementRange[] = [];
  for (let from = 0; from < total; ) {
    const to = Math.min(total, from + BLOCK * (1 + Math.floor(random.next() * 9)));
    buckets.push({ from, to });
    from = to;
  }
  return shuffled(buckets, random);
}

describe.each(WIRE_TYPES)("ring, %s", (wire) => {
  test.each(WORLDS)("of %i: every rank has the bits of the oracle, within the bound", (world) => {
    for (const [seed, total] of totalsOf(world).entries()) {
      const contributions = contributionsOf(world, total, seed);
      const { results } = simulateRing({ contributions, wire });
      const expected = ringSum(contributions, wire).sum;
      expect(results).toHaveLength(world);
      expect(results.every((result) => isSame(result, expected))).toBe(true);
      const exact = summed(contributions);
      const bounds = boundsOf(contributions, wire);
      expect(
        exact.every((x, i) => Math.abs(x - (expected[i] as number)) <= (bounds[i] as number)),
      ).toBe(true);
    }
  });

  test("has the same bits whatever buckets, chunks and order of travel", () => {
    const cases = fc.record({
      world: fc.integer({ min: 1, max: 8 }),
      total: fc.nat(12_000),
      seed: fc.nat(),
      chunkBlocks: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(cases, ({ world, total, seed, chunkBlocks }) => {
        const contributions = contributionsOf(world, total, seed % 1000);
        const residuals = contributionsOf(world, total, (seed % 1000) + 1).map((residual) =>
          residual.map((x) => x / 200),
        );
        const whole = simulateRing({ contributions, wire, residuals });
        const cut = simulateRing({
          contributions,
          wire,
          residuals,
          buckets: bucketsOf(total, seed),
          chunkBytes: chunkBlocks * bytesOf(BLOCK, wire) + (seed % 100),
          seed,
        });
        for (const rank of contributions.keys()) {
          const [a, b] = [whole, cut].map(({ results }) => results[rank] as Float32Array);
          if (!isSame(a as Float32Array, b as Float32Array)) return false;
          const [c, d] = [whole, cut].map((outcome) => outcome.residuals[rank] as Float32Array);
          if (!isSame(c as Float32Array, d as Float32Array)) return false;
        }
        return true;
      }),
      { numRuns: 60 },
    );
  });

  test.each(WORLDS)("of %i: no rank sends more than its share of 2 (N − 1) segments", (world) => {
    const blocks = 8 * 7 * 5 * 3;
    const contributions = Array.from({ length: world }, () => new Float32Array(blocks * BLOCK));
    const { sent } = simulateRing({ contributions, wire });
    const share = (2 * (world - 1) * bytesOf(blocks * BLOCK, wire)) / world;
    expect(sent).toEqual(Array.from({ length: world }, () => share));
  });
});

describe("order of summation", () => {
  test("decides the bits: other ranks for the same contributions give another sum", () => {
    const contributions = contributionsOf(4, 4099, 1);
    const swapped = [1, 0, 2, 3].map((rank) => contributions[rank] as Float32Array);
    const [a] = simulateRing({ contributions, wire: "f32" }).results;
    const [b] = simulateRing({ contributions: swapped, wire: "f32" }).results;
    expect(isSame(a as Float32Array, b as Float32Array)).toBe(false);
  });

  test("f32 sums of integers are exact", () => {
    const contributions = [1, 2, 3, 4, 5].map((seed) =>
      Float32Array.from(randoms(seed).integers(3000, -1_000_000, 1_000_000)),
    );
    const { results } = simulateRing({ contributions, wire: "f32" });
    expect(
      results.every((result) => isSame(result, Float32Array.from(summed(contributions)))),
    ).toBe(true);
  });
});

describe("error feedback of int8", () => {
  test.each(WORLDS)(
    "of %i: what is not in the sum is in the residuals, as in the oracle",
    (world) => {
      const contributions = contributionsOf(world, 2500, 3);
      const before = contributionsOf(world, 2500, 4).map((residual) =>
        residual.map((x) => x / 200),
      );
      const outcome = simulateRing({ contributions, wire: "int8", residuals: before });
      const oracle = ringSum(contributions, "int8", before);
      for (const rank of contributions.keys()) {
        expect(
          isSame(outcome.residuals[rank] as Float32Array, oracle.residuals[rank] as Float32Array),
        ).toBe(true);
        expect(isSame(outcome.results[rank] as Float32Array, oracle.sum)).toBe(true);
      }
      const given = summed([...contributions, ...before]);
      const kept = summed([outcome.results[0] as Float32Array, ...outcome.residuals]);
      const size = summed([...contributions, ...before], Math.abs);
      expect(
        given.every(
          (x, i) => Math.abs(x - (kept[i] as number)) <= (size[i] as number) * world * 2 ** -21,
        ),
      ).toBe(true);
    },
  );

  test("over many steps the error does not grow, and without feedback it does", () => {
    const steps = 60;
    const world = 3;
    const contributions = contributionsOf(world, 600, 5);
    const exact = summed(contributions).map((x) => x * steps);
    const drift = (isFed: boolean): number => {
      let residuals: readonly Float32Array[] | undefined;
      const totals = new Float64Array(600);
      for (let step = 0; step < steps; step++) {
        const outcome = simulateRing({
          contributions,
          wire: "int8",
          ...(residuals && { residuals }),
        });
        if (isFed) residuals = outcome.residuals;
        for (const [i, x] of (outcome.results[0] as Float32Array).entries()) {
          totals[i] = (totals[i] as number) + x;
        }
      }
      return Math.max(...exact.map((x, i) => Math.abs(x - (totals[i] as number))));
    };
    // one quantum of a block of up to 3 · 4 is 0.1; three ranks round
    expect(drift(true)).toBeLessThan(0.3);
    expect(drift(false)).toBeGreaterThan(1);
  });
});
