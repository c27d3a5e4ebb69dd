import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RingPlace } from "../../../cluster/ring/arrival.ts";
import { Collective, type OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { ownedSegment, segmentsOf } from "../../../cluster/ring/segments.ts";
import { Stash } from "../../../cluster/ring/stash.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { bf16, int8Block, ringSum } from "../../reference/ring-sum.ts";
import { seeded } from "../../support/cluster/random.ts";
import {
  type Cut,
  collectivesOf,
  contributionsOf,
  cutOf,
  handTo,
  isSame,
  Peer,
  PLACE,
  RingRun,
  residualsOf,
} from "../../support/collectives.ts";

const WORLDS = [1, 2, 3, 4, 5, 6, 7, 8];

function totalsOf(world: number): number[] {
  const around = [...new Set([0, 1, world - 1, world, world + 1])];
  return [...around, ...around.map((blocks) => blocks * BLOCK + 1), 257, 4099, 8191];
}

function peersOf(world: number, total: number, wire: WireType, seed: number): Peer[] {
  const residuals = residualsOf(world, total, seed);
  return contributionsOf(world, total, seed).map(
    (own, index) => new Peer(index, wire, own, residuals[index]),
  );
}

/** What peers have in the end is what the oracle says of what they gave, which is untouched. */
function expectOracle(peers: readonly Peer[], wire: WireType, seed: number, world: number): void {
  const total = peers[0]?.contribution.length ?? 0;
  const given = contributionsOf(world, total, seed);
  const owed = residualsOf(world, total, seed);
  const { sum, residuals } = ringSum(given, wire, owed);
  for (const [rank, peer] of peers.entries()) {
    expect(isSame(peer.result, sum)).toBe(true);
    expect(isSame(peer.contribution, given[rank] as Float32Array)).toBe(true);
    expect(isSame(peer.residual, owed[rank] as Float32Array)).toBe(true);
    if (wire === "int8") {
      expect(isSame(peer.nextResidual, residuals[rank] as Float32Array)).toBe(true);
    }
  }
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

describe("halves", () => {
  const half = (peers: readonly Peer[], cut: Cut, phases: "reduce" | "gather", seed: number) => {
    const place = { ...PLACE, op: phases === "reduce" ? 1 : 2 };
    const ranks = collectivesOf(peers, cut, place, phases);
    const run = new RingRun(ranks, cut.buckets.length, seed, { duplicates: 0.2 }).run();
    expect(run.isDone).toBe(true);
    expect(new Set(run.delivered.map(({ header }) => header.phase)).size).toBeLessThan(2);
  };
  const ownedOf = (total: number, world: number, rank: number) =>
    segmentsOf(total, world)[ownedSegment(rank, world)] as { from: number; to: number };

  test.each(WIRE_TYPES)("reduce alone leaves the sum that both would round, %s", (wire) => {
    for (const world of WORLDS) {
      const seed = world;
      const total = 4099 + 256 * world;
      const peers = peersOf(world, total, wire, seed);
      const owed = residualsOf(world, total, seed);
      half(peers, cutOf(total, wire, seed), "reduce", seed);
      const oracle = ringSum(contributionsOf(world, total, seed), wire, owed);
      for (const [rank, peer] of peers.entries()) {
        const { from, to } = ownedOf(total, world, rank);
        const sum = peer.result.slice(from, to);
        if (wire === "bf16" && world > 1) {
          expect(sum.some((x) => x !== bf16(x))).toBe(true);
          expect(isSame(sum.map(bf16), oracle.sum.slice(from, to))).toBe(true);
        }
        if (wire === "f32") expect(isSame(sum, oracle.sum.slice(from, to))).toBe(true);
        if (wire !== "int8") continue;
        if (world > 1) {
          const rounded: number[] = [];
          for (let at = 0; at < sum.length; at += BLOCK)
            rounded.push(...int8Block([...sum.slice(at, at + BLOCK)]).values);
          expect(isSame(Float32Array.from(rounded), oracle.sum.slice(from, to))).toBe(true);
        } else {
          expect(
            isSame(
              sum,
              peer.contribution.map((x, i) => x + (owed[0]?.[i] ?? 0)),
            ),
          ).toBe(true);
        }
        const expected = (oracle.residuals[rank] as Float32Array).slice().fill(0, from, to);
        expect(isSame(peer.nextResidual, expected)).toBe(true);
      }
    }
  });

  test.each(["f32", "bf16"] as const)("one after the other are both, %s", (wire) => {
    for (const world of WORLDS) {
      const peers = peersOf(world, 5003, wire, world);
      half(peers, cutOf(5003, wire, world), "reduce", world);
      half(peers, cutOf(5003, wire, world + 100), "gather", world + 1);
      // alone, nothing is rounded
      expectOracle(peers, wire, world, world);
    }
  });

  test("the parameters of their owners are gathered as they are, whatever wire the sums had", () => {
    const [world, total] = [5, 6007];
    const parameters = contributionsOf(1, total, 77)[0] as Float32Array;
    const sums = peersOf(world, total, "int8", 3);
    half(sums, cutOf(total, "int8", 3), "reduce", 3);
    const peers = Array.from(
      { length: world },
      (_, i) => new Peer(i, "f32", new Float32Array(total)),
    );
    for (const [rank, peer] of peers.entries()) {
      const { from, to } = ownedOf(total, world, rank);
      peer.result.set(parameters.subarray(from, to), from);
    }
    half(peers, cutOf(total, "f32", 4), "gather", 4);
    for (const peer of peers) expect(isSame(peer.result, parameters)).toBe(true);
  });
});

describe("attempts that come to nothing", () => {
  test.each(WIRE_TYPES)(
    "after any delivery, whoever goes: survivors have their exact sum and residuals, %s",
    (wire) => {
      for (const world of [2, 3, 5]) {
        const total = (2 * world + 1) * BLOCK + 5;
        const cut = { buckets: [{ from: 0, to: total }], chunkBytes: 2 * bytesOf(BLOCK, wire) };
        const all = new RingRun(collectivesOf(peersOf(world, total, wire, 0), cut), 1, 0).run();
        for (let stop = 0; stop <= all.delivered.length; stop++) {
          const seed = 100 * world + stop;
          const peers = peersOf(world, total, wire, seed);
          const aborted = new RingRun(collectivesOf(peers, cut), 1, seed).run(stop);
          const gone = stop % world;
          const survivors = peers.filter((_, index) => index !== gone);
          const place = { ...PLACE, epoch: PLACE.epoch + 1, op: 0, attempt: 0 };
          // of those on their way, the memory behind them is written by now
          const late = [...aborted.delivered, ...aborted.inFlight].map((frame, i) => ({
            ...frame,
            to: i % survivors.length,
          }));
          const ranks = collectivesOf(survivors, cut, place);
          const run = new RingRun(ranks, 1, seed, { strays: late }).run();
          expect(run.isDone).toBe(true);
          expect(ranks.reduce((sum, { counts }) => sum + counts.late, 0)).toBe(late.length);
          const without = <T>(items: readonly T[]): T[] => items.filter((_, i) => i !== gone);
          const oracle = ringSum(
            without(contributionsOf(world, total, seed)),
            wire,
            without(residualsOf(world, total, seed)),
          );
          for (const [rank, peer] of survivors.entries()) {
            expect(isSame(peer.result, oracle.sum)).toBe(true);
            if (wire !== "int8") continue;
            expect(isSame(peer.nextResidual, oracle.residuals[rank] as Float32Array)).toBe(true);
          }
        }
      }
    },
  );

  test.each(WIRE_TYPES)("chunks of them, with other values, change nothing, %s", (wire) => {
    const cases = fc.record({
      world: fc.integer({ min: 2, max: 6 }),
      total: fc.integer({ min: 1, max: 8000 }),
      seed: fc.nat(10_000),
      before: fc.constantFrom<Partial<RingPlace>>(
        { attempt: 0 },
        { op: PLACE.op - 1, attempt: 9 },
        { epoch: PLACE.epoch - 1, op: PLACE.op + 1000 },
      ),
    });
    fc.assert(
      fc.property(cases, ({ world, total, seed, before }) => {
        const cut = cutOf(total, wire, seed);
        const others = peersOf(world, total, wire, seed + 1);
        const earlier = collectivesOf(others, cut, { ...PLACE, ...before });
        const aborted = new RingRun(earlier, cut.buckets.length, seed).run();
        const peers = peersOf(world, total, wire, seed);
        const faults = { strays: aborted.delivered, duplicates: 0.1 };
        const ranks = collectivesOf(peers, cut);
        const run = new RingRun(ranks, cut.buckets.length, seed + 2, faults).run();
        expect(run.isDone).toBe(true);
        expectOracle(peers, wire, seed, world);
      }),
      { numRuns: 30 },
    );
  });
});

describe("one collective after the other, without a barrier", () => {
  test.each(WIRE_TYPES)("what comes early is stashed, and each has its sum, %s", (wire) => {
    let stashed = 0;
    for (let seed = 0; seed < 25; seed++) {
      stashed += runSequence(wire, 1 + (seed % 6), seed);
    }
    expect(stashed).toBeGreaterThan(50);
  });
});

/** Three collectives of peers that begin the next when their chunks are taken. How many chunks were stashed. */
function runSequence(wire: WireType, world: number, seed: number): number {
  const ops = 3;
  const total = 3000 + 257 * (seed % 9);
  const cut = cutOf(total, wire, seed);
  const random = seeded(seed);
  const peers = peersOf(world, total, wire, seed);
  const begin = (rank: number, op: number): Collective => {
    const peer = peers[rank] as Peer;
    peer.contribution.set(contributionsOf(world, total, seed + op)[rank] as Float32Array);
    peer.residual.set(residualsOf(world, total, seed + op)[rank] as Float32Array);
    const place = { ...PLACE, op };
    const collective = new Collective(peer.workspace(rank, world, cut, "both"), place);
    for (const { header, payload } of (stashes[rank] as Stash).take(place))
      expect(collective.receive(header, payload)).toBe("applied");
    return collective;
  };
  const stashes = peers.map(() => new Stash(1000));
  const ranks = peers.map((_, rank) => begin(rank, 0));
  const buckets = peers.map(() => [...cut.buckets.keys()]);
  const onTheWay: OutgoingChunk[][] = peers.map(() => []);
  const done = peers.map(() => 0);
  let stashed = 0;
  while (done.some((op) => op < ops)) {
    const rank = random.below(world);
    const collective = ranks[rank] as Collective;
    if ((done[rank] as number) >= ops) continue;
    const bucket = buckets[rank]?.shift();
    if (bucket !== undefined) collective.bucketReady(bucket);
    const to = (rank + 1) % world;
    for (const chunk of takeAll(collective)) {
      onTheWay[to]?.push(chunk);
      collective.sent(chunk);
    }
    for (const target of peers.keys()) {
      // one connection keeps its order, and a slow peer reads little
      for (let n = random.below(4); n > 0; n--) {
        const chunk = onTheWay[target]?.[0];
        if (!chunk || !(ranks[target] as Collective)) break;
        onTheWay[target]?.shift();
        const reception = handTo(ranks[target] as Collective, chunk);
        if (reception === "early") {
          stashes[target]?.put(chunk.header, chunk.payload.slice());
          stashed++;
        } else expect(reception).toBe("applied");
      }
    }
    if (!collective.isDone || (onTheWay[to] as OutgoingChunk[]).length > 0) continue;
    const op = done[rank] as number;
    const oracle = ringSum(
      contributionsOf(world, total, seed + op),
      wire,
      residualsOf(world, total, seed + op),
    );
    expect(isSame((peers[rank] as Peer).result, oracle.sum)).toBe(true);
    done[rank] = op + 1;
    if (op + 1 < ops) {
      ranks[rank] = begin(rank, op + 1);
      buckets[rank] = [...cut.buckets.keys()];
    }
  }
  return stashed;
}

function takeAll(rank: Collective): OutgoingChunk[] {
  const chunks: OutgoingChunk[] = [];
  for (let next = rank.nextChunk(); next; next = rank.nextChunk()) chunks.push(next);
  return chunks;
}
