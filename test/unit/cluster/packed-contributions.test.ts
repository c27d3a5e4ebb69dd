/** Contributions that are packed before they are given: what is sent, summed, owed and refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Collective, OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { ownedSegment, segmentsOf } from "../../../cluster/ring/segments.ts";
import { BLOCK, bytesOf } from "../../../cluster/ring/wire-type.ts";
import { bf16, int8Block, ringSum } from "../../reference/ring-sum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import {
  type Cut,
  collectivesOf,
  contributionsOf,
  cutOf,
  isSame,
  Peer,
  PLACE,
  RingRun,
  residualsOf,
} from "../../support/collectives.ts";
import { blocksOf } from "../../support/reducer-bench.ts";

type Packed = "bf16" | "int8";
const WIRES = ["bf16", "int8"] as const;
const WORLDS = [1, 2, 3, 4, 5];

/** What is read of packed values. */
function readOf(wire: Packed, values: Float32Array): Float32Array {
  if (wire === "bf16") return values.map(bf16);
  return Float32Array.from(blocksOf(values).flatMap((block) => int8Block(block).values));
}

interface Ring {
  readonly peers: readonly Peer[];
  /** As it is read. */
  readonly given: readonly Float32Array[];
  readonly owed: readonly Float32Array[];
  readonly bytes: readonly Uint8Array[];
}

function ringOf(world: number, total: number, wire: Packed, seed: number): Ring {
  const values = contributionsOf(world, total, seed);
  const owed = residualsOf(world, total, seed);
  const peers = values.map((own, index) => new Peer(index, wire, own, owed[index], true));
  return {
    ...{ peers, owed, given: values.map((own) => readOf(wire, own)) },
    bytes: peers.map(({ packedContribution }) => packedContribution.slice()),
  };
}

/** What was given and owed before is untouched. */
function expectKept({ peers, owed, bytes }: Ring, wire: Packed): void {
  for (const [rank, peer] of peers.entries()) {
    expect(Buffer.compare(peer.packedContribution, bytes[rank] as Uint8Array)).toBe(0);
    if (wire === "int8") expect(isSame(peer.residual, owed[rank] as Float32Array)).toBe(true);
  }
}

function expectSum(ring: Ring, wire: Packed): void {
  const { sum, residuals } = ringSum(ring.given, wire, ring.owed, true);
  for (const [rank, peer] of ring.peers.entries()) {
    expect(isSame(peer.result, sum)).toBe(true);
    if (wire !== "int8") continue;
    expect(isSame(peer.nextResidual, residuals[rank] as Float32Array)).toBe(true);
  }
  expectKept(ring, wire);
}

describe.each(WIRES)("packed contributions, %s", (wire) => {
  test.each(WORLDS)("of %i: have the bits of the oracle at every size", (world) => {
    const totals = [0, 1, world, BLOCK, world * BLOCK, world * BLOCK + 1, 257, 4099, 8191];
    for (const [seed, total] of totals.entries()) {
      const ring = ringOf(world, total, wire, seed);
      const cut = cutOf(total, wire, seed);
      const run = new RingRun(collectivesOf(ring.peers, cut), cut.buckets.length, seed).run();
      expect(run.isDone).toBe(true);
      expectSum(ring, wire);
    }
  });

  test("have them whatever buckets, chunks, lanes and order of readiness", () => {
    const cases = fc.record({
      world: fc.integer({ min: 1, max: 5 }),
      total: fc.nat(12_000),
      seed: fc.nat(10_000),
      lanes: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(cases, ({ world, total, seed, lanes }) => {
        const ring = ringOf(world, total, wire, seed);
        const cut = cutOf(total, wire, seed + 1);
        for (let index = 0; index < lanes; index++) {
          const ranks = collectivesOf(ring.peers, { ...cut, lane: { index, of: lanes } });
          const run = new RingRun(ranks, cut.buckets.length, seed + index, { duplicates: 0.2 });
          expect(run.run().isDone).toBe(true);
        }
        expectSum(ring, wire);
      }),
      { numRuns: 40 },
    );
  });

  test.each(WORLDS)("of %i: are summed within what rounding may cost", (world) => {
    const total = 5003;
    const ring = ringOf(world, total, wire, 17);
    for (const residual of ring.peers.map((peer) => peer.residual)) residual.fill(0);
    const cut = cutOf(total, wire, 3);
    new RingRun(collectivesOf(ring.peers, cut), cut.buckets.length, 5).run();
    const exact = new Float64Array(total);
    const magnitude = new Float64Array(total);
    for (const own of ring.given)
      for (const [i, value] of own.entries()) {
        exact[i] = (exact[i] as number) + value;
        magnitude[i] = (magnitude[i] as number) + Math.abs(value);
      }
    // of what is there, or in int8 of the greatest of the block, at each of the N − 1 hops that round
    const share = { bf16: 2 ** -8, int8: (1 / 254) * (1 + 2 ** -12) }[wire];
    const growth = (1 + share + 2 ** -22) ** (world - 1) - 1;
    const [{ result }] = ring.peers as [Peer];
    for (const [i, value] of result.entries()) {
      const block = i - (i % BLOCK);
      const greatest = Math.max(...magnitude.subarray(block, block + BLOCK));
      const bound = growth * (wire === "int8" ? greatest : (magnitude[i] as number));
      expect(Math.abs(value - (exact[i] as number))).toBeLessThanOrEqual(bound);
    }
    if (world === 1) expect(isSame(result, ring.given[0] as Float32Array)).toBe(true);
  });

  test.each(WORLDS)("of %i: reduce alone leaves what both would round", (world) => {
    const total = 4099 + 256 * world;
    const ring = ringOf(world, total, wire, world);
    const cut = cutOf(total, wire, world);
    const ranks = collectivesOf(ring.peers, cut, PLACE, "reduce");
    expect(new RingRun(ranks, cut.buckets.length, world).run().isDone).toBe(true);
    const oracle = ringSum(ring.given, wire, ring.owed, true);
    for (const [rank, peer] of ring.peers.entries()) {
      const { from, to } = segmentsOf(total, world)[ownedSegment(rank, world)] as Segment;
      const sum = peer.result.slice(from, to);
      const settled = ring.given[rank]?.map((x, i) => x + (ring.owed[rank]?.[i] ?? 0));
      if (world === 1)
        expect(
          isSame(
            sum,
            wire === "int8" ? (settled as Float32Array) : (ring.given[0] as Float32Array),
          ),
        ).toBe(true);
      else expect(isSame(readOf(wire, sum), oracle.sum.slice(from, to))).toBe(true);
      if (wire !== "int8") continue;
      const expected = (oracle.residuals[rank] as Float32Array).slice().fill(0, from, to);
      expect(isSame(peer.nextResidual, expected)).toBe(true);
    }
    expectKept(ring, wire);
  });

  test("what is sent first is what was given, from where it is", () => {
    const total = 9 * BLOCK + 5;
    const { peers, bytes } = ringOf(3, total, wire, 2);
    const cut: Cut = { buckets: [{ from: 0, to: total }], chunkBytes: bytesOf(BLOCK, wire) };
    for (const [rank, own] of collectivesOf(peers, cut).entries()) {
      own.bucketReady(0);
      const peer = peers[rank] as Peer;
      for (let next = own.nextChunk(); next; next = own.nextChunk()) {
        const { offset, elements } = next.header;
        const at = bytesOf(offset * BLOCK, wire);
        expect(next.payload.buffer).toBe(peer.memory.buffer);
        expect(next.payload.byteOffset).toBe(peer.packedContribution.byteOffset + at);
        expect(next.payload).toEqual(bytes[rank]?.subarray(at, at + bytesOf(elements, wire)));
      }
    }
  });

  test("after any delivery, whoever goes: survivors have their exact sum, of what they gave", () => {
    for (const world of [2, 3, 5]) {
      const total = (2 * world + 1) * BLOCK + 5;
      const cut = { buckets: [{ from: 0, to: total }], chunkBytes: 2 * bytesOf(BLOCK, wire) };
      const all = new RingRun(collectivesOf(ringOf(world, total, wire, 0).peers, cut), 1, 0).run();
      for (let stop = 0; stop <= all.delivered.length; stop++) {
        const ring = ringOf(world, total, wire, 100 * world + stop);
        new RingRun(collectivesOf(ring.peers, cut), 1, stop).run(stop);
        expectKept(ring, wire);
        const without = <T>(items: readonly T[]): T[] => items.filter((_, i) => i !== stop % world);
        const left = {
          ...{ peers: without(ring.peers), given: without(ring.given) },
          ...{ owed: without(ring.owed), bytes: without(ring.bytes) },
        };
        const place = { ...PLACE, epoch: PLACE.epoch + 1, op: 0, attempt: 0 };
        expect(new RingRun(collectivesOf(left.peers, cut, place), 1, stop).run().isDone).toBe(true);
        expectSum(left, wire);
      }
    }
  });

  test("what is not finite is refused, and nothing of its bucket is sent", () => {
    const total = 5 * BLOCK + 9;
    const cut: Cut = {
      buckets: [
        { from: 0, to: 2 * BLOCK },
        { from: 2 * BLOCK, to: total },
      ],
      chunkBytes: 2 ** 16,
    };
    for (const at of [2 * BLOCK, total - 1]) {
      const { peers } = ringOf(2, total, wire, at);
      const [peer] = peers as [Peer];
      const packed = new DataView(peer.memory.buffer, peer.packedContribution.byteOffset);
      if (wire === "bf16") packed.setUint16(2 * at, 0xff80, true);
      else packed.setFloat32(bytesOf(at - (at % BLOCK), wire), Number.NaN, true);
      const [own] = collectivesOf(peers, cut) as [Collective, Collective];
      own.bucketReady(0);
      const sent: OutgoingChunk[] = [];
      for (let next = own.nextChunk(); next; next = own.nextChunk()) sent.push(next);
      expect(sent.every(({ header }) => header.bucket === 0)).toBe(true);
      expect(clusterCodeOf(() => own.bucketReady(1))).toBe("non_finite");
    }
  });
});

interface Segment {
  readonly from: number;
  readonly to: number;
}
