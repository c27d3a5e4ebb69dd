import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Collective, OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { BLOCK, bytesOf, WIRE_TYPES } from "../../../cluster/ring/wire-type.ts";
import {
  collectivesOf,
  cutOf,
  expectOracle,
  handTo,
  type Peer,
  peersOf,
  RingRun,
} from "../../support/collectives.ts";

const WORLDS = [1, 2, 3, 4, 5, 6, 7, 8];

function totalsOf(world: number): number[] {
  const around = [...new Set([0, 1, world - 1, world, world + 1])];
  return [...around, ...around.map((blocks) => blocks * BLOCK + 1), 257, 4099, 8191];
}

describe.each(WIRE_TYPES)("collective, %s", (wire) => {
  test.each(WORLDS)("of %i: has the bits of the oracle at every size", (world) => {
    for (const [seed, total] of totalsOf(world).entries()) {
      const peers = peersOf(world, total, wire, seed);
      const cut = cutOf(total, wire, seed);
      const run = new RingRun(collectivesOf(peers, cut), cut.buckets.length, seed).run();
      expect(run.isDone).toBe(true);
      expectOracle(peers, wire, seed, world);
    }
  });

  test("has them whatever buckets, chunks, order of readiness and travel, and duplicates", () => {
    const cases = fc.record({
      world: fc.integer({ min: 1, max: 8 }),
      total: fc.nat(12_000),
      seed: fc.nat(10_000),
      duplicates: fc.constantFrom(0, 0.3),
    });
    fc.assert(
      fc.property(cases, ({ world, total, seed, duplicates }) => {
        const peers = peersOf(world, total, wire, seed);
        const cut = cutOf(total, wire, seed + 1);
        const ranks = collectivesOf(peers, cut);
        const run = new RingRun(ranks, cut.buckets.length, seed, { duplicates }).run();
        expect(run.isDone).toBe(true);
        expectOracle(peers, wire, seed, world);
        const count = (what: string): number => run.receptions.filter((r) => r === what).length;
        expect(count("applied")).toBe(run.delivered.length);
        expect(count("duplicate")).toBe(
          ranks.reduce((sum, { counts }) => sum + counts.duplicate, 0),
        );
      }),
      { numRuns: 40 },
    );
  });

  test("has them in as many lanes as there may be, each of which moves some of the buckets", () => {
    const cases = fc.record({
      world: fc.integer({ min: 1, max: 5 }),
      total: fc.nat(12_000),
      seed: fc.nat(10_000),
      lanes: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(cases, ({ world, total, seed, lanes }) => {
        const peers = peersOf(world, total, wire, seed);
        const cut = cutOf(total, wire, seed + 1);
        const runs = Array.from({ length: lanes }, (_, index) => {
          const ranks = collectivesOf(peers, { ...cut, lane: { index, of: lanes } });
          return new RingRun(ranks, cut.buckets.length, seed + index);
        });
        // now one goes on, now another
        for (let turn = 0; runs.some((run) => !run.isDone) && turn < 2_000; turn++) {
          const run = runs[turn % lanes] as RingRun;
          run.run(run.delivered.length + 3);
        }
        expect(runs.every((run) => run.isDone)).toBe(true);
        expectOracle(peers, wire, seed, world);
        const buckets = runs.map(
          (run) => new Set(run.delivered.map(({ header }) => header.bucket % lanes)),
        );
        for (const [index, of] of buckets.entries())
          expect([...of].every((b) => b === index)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test.each(WORLDS)("of %i: sends its share of 2 (N − 1) segments, and counts it", (world) => {
    const total = 8 * 7 * 5 * BLOCK * (world % 3 === 0 ? 0 : 1) || 36 * BLOCK;
    const peers = peersOf(world, Math.min(total, 40 * BLOCK), wire, 1);
    const blocks = (peers[0] as Peer).contribution.length / BLOCK;
    const cut = { buckets: [{ from: 0, to: blocks * BLOCK }], chunkBytes: bytesOf(BLOCK, wire) };
    const ranks = collectivesOf(peers, cut);
    const { delivered } = new RingRun(ranks, 1, 1).run();
    expect(delivered).toHaveLength(2 * (world - 1) * blocks);
    const sum = (count: "chunksIn" | "chunksOut" | "bytesIn" | "bytesOut"): number =>
      ranks.reduce((all, { counts }) => all + counts[count], 0);
    expect([sum("chunksIn"), sum("chunksOut")]).toEqual([delivered.length, delivered.length]);
    const bytes = delivered.length * bytesOf(BLOCK, wire);
    expect([sum("bytesIn"), sum("bytesOut")]).toEqual([bytes, bytes]);
  });

  test("the bits sent are a function of place and contributions", () => {
    const frames = [1, 2].map((seed) => {
      const peers = peersOf(4, 5000, wire, 9);
      const cut = cutOf(5000, wire, 3);
      const { delivered } = new RingRun(collectivesOf(peers, cut), cut.buckets.length, seed).run();
      return delivered.map((frame) => JSON.stringify([frame.to, frame.header])).sort();
    });
    expect(frames[0]).toEqual(frames[1]);
  });
});

describe("pipelining", () => {
  test("a chunk goes on as soon as it is reduced, before the next of its portion is there", () => {
    const peers = peersOf(3, 12 * BLOCK, "bf16", 1);
    const cut = { buckets: [{ from: 0, to: 12 * BLOCK }], chunkBytes: 2 * BLOCK };
    const [a, b] = collectivesOf(peers, cut) as [Collective, Collective, Collective];
    a.bucketReady(0);
    b.bucketReady(0);
    const own = takeAll(b);
    expect(own.map(({ header }) => header.hop)).toEqual([0, 0, 0, 0]);
    expect(handTo(b, a.nextChunk() as OutgoingChunk)).toBe("applied");
    const next = b.nextChunk() as OutgoingChunk;
    expect(next.header).toMatchObject({ phase: "reduce", hop: 1, segment: 0, offset: 0 });
    expect(b.nextChunk()).toBeUndefined();
  });

  test("what comes before its bucket is ready waits in place, and then goes on at once", () => {
    const peers = peersOf(3, 12 * BLOCK, "f32", 1);
    const cut = { buckets: [{ from: 0, to: 12 * BLOCK }], chunkBytes: 4 * BLOCK };
    const [a, b] = collectivesOf(peers, cut) as [Collective, Collective, Collective];
    a.bucketReady(0);
    for (const chunk of takeAll(a).reverse()) expect(handTo(b, chunk)).toBe("applied");
    expect(b.nextChunk()).toBeUndefined();
    b.bucketReady(0);
    expect(takeAll(b)).toHaveLength(8);
  });

  test("is not done while anything is unsent, and takes nothing for sent twice", () => {
    const peers = peersOf(2, 2 * BLOCK, "f32", 1);
    const cut = { buckets: [{ from: 0, to: 2 * BLOCK }], chunkBytes: 2 ** 16 };
    const [a, b] = collectivesOf(peers, cut) as [Collective, Collective];
    a.bucketReady(0);
    b.bucketReady(0);
    const chunks = [a, b].map((rank) => rank.nextChunk() as OutgoingChunk);
    handTo(b, chunks[0] as OutgoingChunk);
    handTo(a, chunks[1] as OutgoingChunk);
    const sums = [a, b].map((rank) => rank.nextChunk() as OutgoingChunk);
    handTo(b, sums[0] as OutgoingChunk);
    handTo(a, sums[1] as OutgoingChunk);
    expect(a.isDone).toBe(false);
    a.sent(chunks[0] as OutgoingChunk);
    expect(a.isDone).toBe(false);
    a.sent(sums[0] as OutgoingChunk);
    expect(a.isDone).toBe(true);
    expect(() => a.sent(sums[0] as OutgoingChunk)).toThrow(/argument_invalid/);
    expect(() => a.sent(sums[1] as OutgoingChunk)).toThrow(/argument_invalid/);
  });
});

function takeAll(rank: Collective): OutgoingChunk[] {
  const chunks: OutgoingChunk[] = [];
  for (let next = rank.nextChunk(); next; next = rank.nextChunk()) chunks.push(next);
  return chunks;
}
