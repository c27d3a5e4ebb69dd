import { describe, expect, test } from "vitest";
import {
  chunksOf,
  type ElementRange,
  ownedSegment,
  portionsOf,
  schedule,
  segmentsOf,
} from "../../../cluster/ring/segments.ts";
import { BLOCK, bytesOf, WIRE_TYPES } from "../../../cluster/ring/wire-type.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";

const WORLDS = Array.from({ length: 17 }, (_, index) => index + 1);

/** Around the number of ranks, in elements and in blocks; primes; 64 Mi. */
function totalsOf(world: number): number[] {
  const around = [0, 1, world - 1, world, world + 1];
  return [
    ...around,
    ...around.map((blocks) => blocks * BLOCK),
    ...around.map((blocks) => blocks * BLOCK + 1),
    ...[2, 251, 257, 65_537, 1_299_709, 67_108_859],
    2 ** 26,
  ];
}

const CASES = WORLDS.flatMap((world) => totalsOf(world).map((total) => ({ world, total })));

function lengthOf({ from, to }: ElementRange): number {
  return to - from;
}

/** Whether ranges follow each other from `from` to `to`. */
function isPartition(ranges: readonly ElementRange[], from: number, to: number): boolean {
  let at = from;
  for (const range of ranges) {
    if (range.from !== at || range.to < at) return false;
    at = range.to;
  }
  return at === to;
}

describe("segments", () => {
  test("a known case: 10 blocks and a short one over four ranks", () => {
    expect(segmentsOf(10 * BLOCK + 7, 4)).toEqual([
      { from: 0, to: 3 * BLOCK },
      { from: 3 * BLOCK, to: 6 * BLOCK },
      { from: 6 * BLOCK, to: 9 * BLOCK },
      { from: 9 * BLOCK, to: 10 * BLOCK + 7 },
    ]);
  });

  test("partition the vector between blocks, the greater ones first and by one block", () => {
    for (const { world, total } of CASES) {
      const segments = segmentsOf(total, world);
      expect(segments).toHaveLength(world);
      expect(isPartition(segments, 0, total)).toBe(true);
      expect(segments.every(({ from }) => from % BLOCK === 0 || from === total)).toBe(true);
      const blocks = segments.map((segment) => Math.ceil(lengthOf(segment) / BLOCK));
      expect(blocks).toEqual(blocks.toSorted((a, b) => b - a));
      expect((blocks[0] as number) - (blocks.at(-1) as number)).toBeLessThanOrEqual(1);
    }
  });

  test("reach to the last element that the wire can name", () => {
    const total = 2 ** 40;
    expect(isPartition(segmentsOf(total, 7), 0, total)).toBe(true);
  });

  test("refuse what is no size or no world", () => {
    for (const total of [-1, 0.5, Number.NaN, 2 ** 40 + 1]) {
      expect(clusterCodeOf(() => segmentsOf(total, 2))).toBe("argument_invalid");
    }
    for (const world of [0, -1, 1.5, 2 ** 16 + 1]) {
      expect(clusterCodeOf(() => segmentsOf(1, world))).toBe("argument_invalid");
    }
  });
});

describe("portions", () => {
  test("of the buckets of a vector partition each of its segments, in any order of the buckets", () => {
    for (const { world, total } of CASES) {
      const segments = segmentsOf(total, world);
      const cut = Math.min(total, Math.floor(total / BLOCK / 3) * BLOCK);
      const buckets = [
        { from: cut, to: total },
        { from: 0, to: cut },
        { from: cut, to: cut },
      ];
      const portions = buckets.map((bucket) => portionsOf(bucket, segments));
      for (const [s, segment] of segments.entries()) {
        const parts = portions.map((portion) => portion[s] as ElementRange);
        const filled = parts
          .filter((part) => lengthOf(part) > 0)
          .toSorted((a, b) => a.from - b.from);
        expect(isPartition(filled, segment.from, segment.to)).toBe(true);
        expect(parts.every((p) => p.from >= segment.from && p.to <= segment.to)).toBe(true);
      }
    }
  });

  test("refuse a bucket that cuts a block or leaves the vector", () => {
    const segments = segmentsOf(10 * BLOCK + 7, 4);
    const bad = [
      [1, 2 * BLOCK],
      [0, 10 * BLOCK + 6],
      [0, 11 * BLOCK],
      [-BLOCK, BLOCK],
      [2 * BLOCK, BLOCK],
    ] as const;
    for (const [from, to] of bad) {
      expect(clusterCodeOf(() => portionsOf({ from, to }, segments))).toBe("argument_invalid");
    }
    expect(portionsOf({ from: 10 * BLOCK, to: 10 * BLOCK + 7 }, segments).map(lengthOf)).toEqual([
      0, 0, 0, 7,
    ]);
  });
});

describe("chunks", () => {
  test("are as long as the limit lets whole blocks be, and in order", () => {
    for (const wire of WIRE_TYPES) {
      const block = bytesOf(BLOCK, wire);
      for (const chunkBytes of [block, 2 * block - 1, 5 * block, 2 ** 20]) {
        for (const length of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 17 * BLOCK + 3]) {
          const portion = { from: 3 * BLOCK, to: 3 * BLOCK + length };
          const chunks = chunksOf(portion, wire, chunkBytes);
          expect(isPartition(chunks, portion.from, portion.to)).toBe(true);
          const most = Math.floor(chunkBytes / block) * BLOCK;
          expect(chunks.every((chunk) => lengthOf(chunk) > 0)).toBe(true);
          expect(chunks.slice(0, -1).every((chunk) => lengthOf(chunk) === most)).toBe(true);
          expect(chunks.every((c) => bytesOf(lengthOf(c), wire) <= chunkBytes)).toBe(true);
        }
      }
      expect(clusterCodeOf(() => chunksOf({ from: 0, to: 1 }, wire, block - 1))).toBe(
        "argument_invalid",
      );
    }
  });

  test("a payload of int8 has a scale for each block, the short one too", () => {
    expect([0, 1, 256, 257, 512].map((elements) => bytesOf(elements, "int8"))).toEqual([
      0, 5, 260, 265, 520,
    ]);
  });
});

describe("schedule", () => {
  test("a known case: the hops of rank 1 of 3", () => {
    expect(schedule(1, 3)).toEqual([
      { phase: "reduce", hop: 0, sends: 1, receives: 0 },
      { phase: "reduce", hop: 1, sends: 0, receives: 2 },
      { phase: "gather", hop: 0, sends: 2, receives: 1 },
      { phase: "gather", hop: 1, sends: 1, receives: 0 },
    ]);
  });

  test("each rank receives what its predecessor sends, and sends on what it received", () => {
    for (const world of WORLDS) {
      const ranks = Array.from({ length: world }, (_, rank) => schedule(rank, world));
      for (const [rank, hops] of ranks.entries()) {
        expect(hops).toHaveLength(2 * (world - 1));
        const predecessor = ranks[(rank + world - 1) % world];
        expect(hops.map(({ receives }) => receives)).toEqual(
          predecessor?.map(({ sends }) => sends),
        );
        expect(hops.slice(1).map(({ sends }) => sends)).toEqual(
          hops.slice(0, -1).map(({ receives }) => receives),
        );
      }
    }
  });

  test("a segment is summed over ranks s, s + 1, … and all its contributions meet at its owner", () => {
    for (const world of WORLDS) {
      const sums = Array.from({ length: world }, (_, rank) =>
        Array.from({ length: world }, () => [rank]),
      );
      for (let hop = 0; hop < world - 1; hop++) {
        const sent = sums.map((own, rank) => own[schedule(rank, world)[hop]?.sends as number]);
        for (const [rank, own] of sums.entries()) {
          const segment = schedule(rank, world)[hop]?.receives as number;
          own[segment] = [...(sent[(rank + world - 1) % world] as number[]), rank];
        }
      }
      for (const [rank, own] of sums.entries()) {
        const segment = ownedSegment(rank, world);
        expect(own[segment]).toEqual(
          Array.from({ length: world }, (_, turn) => (segment + turn) % world),
        );
      }
    }
  });

  test("refuses a rank beyond the world", () => {
    for (const rank of [-1, 3, 0.5]) {
      expect(clusterCodeOf(() => schedule(rank, 3))).toBe("argument_invalid");
      expect(clusterCodeOf(() => ownedSegment(rank, 3))).toBe("argument_invalid");
    }
  });
});
