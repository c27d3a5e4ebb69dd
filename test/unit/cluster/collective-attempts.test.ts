import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RingPlace } from "../../../cluster/ring/arrival.ts";
import { Collective, type OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { Stash } from "../../../cluster/ring/stash.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { ringSum } from "../../reference/ring-sum.ts";
import { seeded } from "../../support/cluster/random.ts";
import {
  collectivesOf,
  contributionsOf,
  cutOf,
  expectOracle,
  handTo,
  isSame,
  type Peer,
  PLACE,
  peersOf,
  RingRun,
  residualsOf,
} from "../../support/collectives.ts";

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
    for (let seed = 0; seed < 15; seed++) {
      stashed += runSequence(wire, 1 + (seed % 6), seed);
    }
    expect(stashed).toBeGreaterThan(25);
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
