import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import type { ChunkHeader } from "../../../cluster/protocol/chunk-header.ts";
import { EARLY_WINDOW } from "../../../cluster/ring/arrival.ts";
import type { Collective, OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { checksum } from "../../reference/checksum.ts";
import { ringSum } from "../../reference/ring-sum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import {
  collectivesOf,
  contributionsOf,
  cutOf,
  handTo,
  isSame,
  Peer,
  PLACE,
  RingRun,
} from "../../support/collectives.ts";

function peersOf(world: number, total: number, wire: WireType): Peer[] {
  return contributionsOf(world, total, 1).map((own, index) => new Peer(index, wire, own));
}

/** Two ranks with two chunks in each segment, all of whose buckets are ready. */
function pairOf(wire: WireType = "f32"): [Collective, Collective] {
  const cut = { buckets: [{ from: 0, to: 4 * BLOCK }], chunkBytes: bytesOf(BLOCK, wire) };
  const pair = collectivesOf(peersOf(2, 4 * BLOCK, wire), cut) as [Collective, Collective];
  for (const rank of pair) rank.bucketReady(0);
  return pair;
}

function next(rank: Collective): OutgoingChunk {
  return rank.nextChunk() as OutgoingChunk;
}

describe("a header that is well-formed and wrong", () => {
  const mutations = fc.oneof(
    fc.record({
      field: fc.constantFrom(...(["epoch", "op", "attempt", "bucket", "offset"] as const)),
      to: fc.oneof(fc.nat(12), fc.nat(2 ** 24 - 1)),
    }),
    fc.record({ field: fc.constant("checksum" as const), to: fc.nat(2 ** 24 - 1) }),
    fc.record({ field: fc.constant("elements" as const), to: fc.integer({ min: 1, max: 3000 }) }),
    fc.record({
      field: fc.constantFrom("hop" as const, "segment" as const),
      to: fc.oneof(fc.nat(6), fc.nat(2 ** 16 - 1)),
    }),
    fc.record({ field: fc.constant("phase" as const), to: fc.constantFrom("reduce", "gather") }),
    fc.record({ field: fc.constant("wire" as const), to: fc.constantFrom(...WIRE_TYPES) }),
    fc.record({ field: fc.constant("runId" as const), to: fc.constant("f".repeat(32)) }),
  );
  const cases = fc.record({
    world: fc.integer({ min: 2, max: 5 }),
    wire: fc.constantFrom(...WIRE_TYPES),
    seed: fc.nat(10_000),
    nth: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    mutation: mutations,
    isReplaced: fc.boolean(),
  });

  test("is an error or nothing, and never a sum that is wrong", () => {
    const errors = new Map<string, number>();
    fc.assert(
      fc.property(cases, ({ world, wire, seed, nth, mutation, isReplaced }) => {
        const total = 5000;
        const cut = cutOf(total, wire, seed);
        const peers = peersOf(world, total, wire);
        const ranks = collectivesOf(peers, cut);
        const blocks = Math.ceil(total / BLOCK);
        let left = Math.floor(nth * (world - 1) * blocks);
        let isMutated = false;
        let victim: Collective | undefined;
        const run = new RingRun(ranks, cut.buckets.length, seed, {
          deliver: (frame, rank) => {
            const header = { ...frame.header, [mutation.field]: mutation.to };
            const isOther = frame.header[mutation.field] !== mutation.to;
            if (!isMutated && isOther && left-- <= 0) {
              isMutated = true;
              victim = rank;
              handTo(rank, { header, payload: frame.payload });
              if (isReplaced) return;
            }
            handTo(rank, frame);
          },
        });
        const code = codeOf(() => run.run());
        if (code !== "") {
          errors.set(code, (errors.get(code) ?? 0) + 1);
          expect(["frame_invalid", "protocol_violated"]).toContain(code);
          expect(run.isDone).toBe(false);
        } else if (isMutated && isReplaced) {
          expect(victim?.isDone).toBe(false);
        } else {
          expect(run.isDone).toBe(true);
          const { sum } = ringSum(contributionsOf(world, total, 1), wire);
          for (const peer of peers) expect(isSame(peer.result, sum)).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
    expect(errors.get("protocol_violated")).toBeGreaterThan(100);
    expect(errors.get("frame_invalid")).toBeGreaterThan(10);
  });

  test("each field for itself, at the first chunk of a reduce and of a gather phase", () => {
    const wrong: [Partial<ChunkHeader>, string][] = [
      [{ runId: "f".repeat(32) }, "protocol_violated"],
      [{ op: PLACE.op + EARLY_WINDOW + 1 }, "protocol_violated"],
      [{ hop: 1 }, "protocol_violated"],
      [{ segment: 2 }, "protocol_violated"],
      [{ segment: 65_535 }, "protocol_violated"],
      [{ bucket: 1 }, "protocol_violated"],
      [{ offset: 2 }, "protocol_violated"], // of the next segment
      [{ offset: 4 }, "protocol_violated"],
      [{ offset: 2 ** 31 }, "protocol_violated"],
      [{ elements: 255 }, "protocol_violated"],
      [{ elements: 512 }, "protocol_violated"],
      [{ wire: "bf16" }, "protocol_violated"],
      [{ checksum: 1 }, "frame_invalid"],
    ];
    const flipped = { reduce: "gather", gather: "reduce" } as const;
    for (const isGather of [false, true]) {
      const chunkOf = (): [Collective, OutgoingChunk] => {
        const [a, b] = pairOf();
        if (!isGather) return [b, next(a)];
        // rank 1 has the sum of what rank 0 sent it, and has sent all of its own
        handTo(b, next(a));
        next(b);
        next(b);
        const sum = next(b);
        next(a);
        return [a, sum];
      };
      const [, { header: right }] = chunkOf();
      expect(right.phase).toBe(isGather ? "gather" : "reduce");
      for (const [field, code] of [
        ...wrong,
        [{ phase: flipped[right.phase] }, "protocol_violated"],
        [{ segment: 1 - right.segment }, "protocol_violated"],
      ] as const) {
        const [rank, { header, payload }] = chunkOf();
        const hand = (): unknown => rank.receive({ ...header, ...field }, payload);
        expect([field, clusterCodeOf(hand)]).toEqual([field, code]);
        // and then it is spent
        expect(clusterCodeOf(() => rank.receive(header, payload))).toBe(code);
        expect(clusterCodeOf(() => rank.nextChunk())).toBe(code);
        expect(rank.isDone).toBe(false);
      }
    }
  });

  test("an offset before that of its portion", () => {
    const [a, b] = pairOf();
    const { header, payload } = next(b);
    expect(header).toMatchObject({ segment: 1, offset: 2 });
    expect(clusterCodeOf(() => a.receive({ ...header, offset: 1 }, payload))).toBe(
      "protocol_violated",
    );
  });

  test("a payload of another length, or with a bit turned, is refused before it is added", () => {
    const cut = { buckets: [{ from: 0, to: 4 * BLOCK }], chunkBytes: bytesOf(BLOCK, "f32") };
    const peers = peersOf(2, 4 * BLOCK, "f32");
    for (const spoil of [
      (bytes: Uint8Array) => bytes.subarray(1),
      (bytes: Uint8Array) => bytes.map((byte, i) => (i === 77 ? byte ^ 4 : byte)),
    ]) {
      const [a, b] = collectivesOf(peers, cut) as [Collective, Collective];
      a.bucketReady(0);
      b.bucketReady(0);
      const { header, payload } = next(a);
      expect(clusterCodeOf(() => b.receive(header, spoil(payload.slice())))).toBe("frame_invalid");
      // nor is it handed on, whatever comes after it
      expect(clusterCodeOf(() => b.receive(header, payload))).toBe("frame_invalid");
      expect(clusterCodeOf(() => b.nextChunk())).toBe("frame_invalid");
    }
  });
});

describe("what cannot be", () => {
  test("a sum to which this rank has yet to add is refused", () => {
    const [a, b] = pairOf();
    handTo(b, next(a));
    next(b);
    next(b);
    const { header, payload } = next(b);
    // of a chunk that rank 0 has not sent
    const early = { ...header, offset: header.offset + 1 };
    expect(early.phase).toBe("gather");
    expect(clusterCodeOf(() => a.receive(early, payload))).toBe("protocol_violated");
  });

  test("a chunk that was had with another payload is refused; with the same, it is dropped", () => {
    for (const wire of WIRE_TYPES) {
      const [a, b] = pairOf(wire);
      const { header, payload } = next(a);
      expect(b.receive(header, payload)).toBe("applied");
      expect(b.receive(header, payload)).toBe("duplicate");
      expect(b.counts).toMatchObject({ chunksIn: 1, duplicate: 1 });
      const other = payload.slice().reverse();
      const forged = { ...header, checksum: checksum(other) };
      expect(clusterCodeOf(() => b.receive(forged, other))).toBe("protocol_violated");
    }
  });

  test("a phase that the collective has not is refused", () => {
    const peers = peersOf(2, 4 * BLOCK, "f32");
    const cut = { buckets: [{ from: 0, to: 4 * BLOCK }], chunkBytes: bytesOf(BLOCK, "f32") };
    const [a] = collectivesOf(peers, cut, PLACE, "reduce") as [Collective, Collective];
    const [, b] = collectivesOf(peers, cut, PLACE, "gather") as [Collective, Collective];
    a.bucketReady(0);
    expect(clusterCodeOf(() => handTo(b, next(a)))).toBe("protocol_violated");
    const [c] = collectivesOf(peers, cut, PLACE, "reduce") as [Collective, Collective];
    const [, d] = collectivesOf(peers, cut, PLACE, "gather") as [Collective, Collective];
    for (const peer of peers) peer.result.fill(1);
    d.bucketReady(0);
    expect(clusterCodeOf(() => handTo(c, next(d)))).toBe("protocol_violated");
  });

  test("a bucket becomes ready once, if there is one", () => {
    for (const bucket of [0, 1, -1, 0.5]) {
      const [a] = pairOf();
      expect(clusterCodeOf(() => a.bucketReady(bucket))).toBe("argument_invalid");
    }
  });
});

/** The code of what is thrown, if anything is. */
function codeOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (error) {
    return error instanceof ClusterError ? error.code : String(error);
  }
}
