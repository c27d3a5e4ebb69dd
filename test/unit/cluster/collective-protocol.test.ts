import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import type { ChunkHeader } from "../../../cluster/protocol/chunk-header.ts";
import { arrivalOf, EARLY_WINDOW, type RingPlace } from "../../../cluster/ring/arrival.ts";
import { Collective, type OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { RingPlan, type RingShape } from "../../../cluster/ring/plan.ts";
import { Stash } from "../../../cluster/ring/stash.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { type Places, Workspace } from "../../../cluster/ring/workspace.ts";
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

describe("arrivalOf", () => {
  const at = (place: Partial<RingPlace>): ChunkHeader => ({
    ...{ phase: "reduce", wire: "f32", bucket: 0, hop: 0, segment: 0, offset: 0 },
    ...{ elements: 1, payloadCrc: 0 },
    ...PLACE,
    ...place,
  });
  const { epoch, op, attempt } = PLACE;

  test.each([
    [{}, "now"],
    [{ attempt: attempt - 1 }, "late"],
    [{ op: op - 1 }, "late"],
    [{ op: op - 1, attempt: attempt + 9 }, "late"],
    [{ op: 0, attempt: 2 ** 32 - 1 }, "late"],
    [{ epoch: epoch - 1, op: op + 9, attempt: attempt + 9 }, "late"],
    [{ attempt: attempt + 1 }, "early"],
    [{ attempt: attempt + EARLY_WINDOW }, "early"],
    [{ op: op + 1 }, "early"],
    [{ op: op + 1, attempt: 0 }, "early"],
    [{ op: op + EARLY_WINDOW, attempt: attempt + 9 }, "early"],
    [{ epoch: epoch + 1, op: 0, attempt: 0 }, "ahead"],
    [{ epoch: 2 ** 32 - 1 }, "ahead"],
  ] as const)("%o is %s", (place, arrival) => {
    expect(arrivalOf(at(place), PLACE)).toBe(arrival);
  });

  test.each([
    { attempt: attempt + EARLY_WINDOW + 1 },
    { op: op + EARLY_WINDOW + 1 },
    { op: 2 ** 32 - 1 },
    { runId: "f".repeat(32) },
    { runId: "f".repeat(32), epoch: epoch - 1 },
  ])("%o cannot be", (place) => {
    expect(clusterCodeOf(() => arrivalOf(at(place), PLACE))).toBe("protocol_violated");
  });
});

describe("a header that is well-formed and wrong", () => {
  const mutations = fc.oneof(
    fc.record({
      field: fc.constantFrom(
        ...(["epoch", "op", "attempt", "bucket", "offset", "payloadCrc"] as const),
      ),
      to: fc.oneof(fc.nat(12), fc.nat(2 ** 24 - 1)),
    }),
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
      [{ offset: 4 }, "protocol_violated"],
      [{ offset: 2 ** 31 }, "protocol_violated"],
      [{ elements: 255 }, "protocol_violated"],
      [{ elements: 512 }, "protocol_violated"],
      [{ wire: "bf16" }, "protocol_violated"],
      [{ payloadCrc: 1 }, "frame_invalid"],
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
      const before = peers[1]?.result.slice() as Float32Array;
      const { header, payload } = next(a);
      expect(clusterCodeOf(() => b.receive(header, spoil(payload.slice())))).toBe("frame_invalid");
      expect(isSame(peers[1]?.result as Float32Array, before)).toBe(true);
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
      const forged = { ...header, payloadCrc: crc32(other) };
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

describe("what is not finite", () => {
  const cut = {
    buckets: [
      { from: 0, to: 2 * BLOCK },
      { from: 2 * BLOCK, to: 4 * BLOCK + 3 },
    ],
    chunkBytes: 1100,
  };
  const begin = (wire: WireType): [Peer[], Collective[]] => {
    const peers = peersOf(2, 4 * BLOCK + 3, wire);
    return [peers, collectivesOf(peers, cut)];
  };

  test.each(WIRE_TYPES)("in a contribution: nothing of its bucket is sent, %s", (wire) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const at of [2 * BLOCK, 3 * BLOCK - 1, 4 * BLOCK + 2]) {
        const [peers, [a]] = begin(wire) as [Peer[], [Collective]];
        (peers[0] as Peer).contribution[at] = bad;
        a.bucketReady(0);
        expect(a.nextChunk()?.header.bucket).toBe(0);
        expect(clusterCodeOf(() => a.bucketReady(1))).toBe("non_finite");
        expect(clusterCodeOf(() => a.nextChunk())).toBe("non_finite");
      }
    }
  });

  test.each(WIRE_TYPES)("in a sum: its owner finds it before it is handed round, %s", (wire) => {
    for (const phases of ["both", "reduce"] as const) {
      const peers = peersOf(2, 4 * BLOCK + 3, wire);
      for (const { contribution } of peers) contribution[BLOCK] = 3e38;
      const [a, b] = collectivesOf(peers, cut, PLACE, phases) as [Collective, Collective];
      a.bucketReady(0);
      b.bucketReady(0);
      const chunks = [next(a), a.nextChunk()];
      const code = clusterCodeOf(() => {
        for (const chunk of chunks) if (chunk) handTo(b, chunk);
      });
      expect(code).toBe("non_finite");
    }
  });

  test.each(WIRE_TYPES)("in what is gathered: it is not taken for a sum, %s", (wire) => {
    const [, [a, b]] = begin(wire) as [Peer[], [Collective, Collective]];
    a.bucketReady(0);
    b.bucketReady(0);
    for (let chunk = a.nextChunk(); chunk; chunk = a.nextChunk()) handTo(b, chunk);
    let sum = next(b);
    while (sum.header.phase === "reduce") sum = next(b);
    const payload = sum.payload.slice().fill(0xff, 0, 4);
    const header = { ...sum.header, payloadCrc: crc32(payload) };
    expect(clusterCodeOf(() => a.receive(header, payload))).toBe("non_finite");
  });

  test("in parameters of one's own, and in what is owed alone", () => {
    const peers = peersOf(2, 4 * BLOCK + 3, "f32");
    const [a] = collectivesOf(peers, cut, PLACE, "gather") as [Collective];
    (peers[0] as Peer).result.fill(0);
    (peers[0] as Peer).result[4 * BLOCK] = Number.NaN;
    a.bucketReady(0);
    expect(clusterCodeOf(() => a.bucketReady(1))).toBe("non_finite");
    const [alone] = peersOf(1, 300, "int8") as [Peer];
    (alone.residual as Float32Array)[299] = Number.NaN;
    const all = { buckets: [{ from: 0, to: 300 }], chunkBytes: 300 };
    const [settled] = collectivesOf([alone], all, PLACE, "reduce") as [Collective];
    expect(clusterCodeOf(() => settled.bucketReady(0))).toBe("non_finite");
  });
});

describe("memory", () => {
  test.each(WIRE_TYPES)("a collective takes none that is of the vector's size, %s", (wire) => {
    const total = 2 ** 20;
    const bytes = 4 * total;
    const places = {
      ...{ contribution: 0, result: bytes, residual: 2 * bytes, nextResidual: 3 * bytes },
      packed: 4 * bytes,
    };
    const shape = { world: 2, total, wire, chunkBytes: 2 ** 16 };
    const memories = [0, 1].map(() => allocateMemory(5 * bytes, false));
    const buckets = [{ from: 0, to: total }];
    const ranks = memories.map((memory, rank) => {
      const plan = new RingPlan({ ...shape, rank, buckets });
      return new Collective(new Workspace(plan, "both", memory, places), PLACE);
    });
    const before = process.memoryUsage();
    for (const rank of ranks) rank.bucketReady(0);
    while (!ranks.every((rank) => rank.isDone)) {
      for (const [index, rank] of ranks.entries()) {
        const chunk = rank.nextChunk();
        if (!chunk) continue;
        ranks[1 - index]?.receive(chunk.header, chunk.payload);
        rank.sent(chunk);
      }
    }
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(bytes / 16);
    expect(memories.map(({ buffer }) => buffer.byteLength)).toEqual([5 * bytes, 5 * bytes]);
  });
});

describe("stash", () => {
  const chunkAt = (place: Partial<RingPlace>, byte = 1): [ChunkHeader, Uint8Array] => {
    const payload = new Uint8Array(4).fill(byte);
    const header: ChunkHeader = {
      ...{ phase: "reduce", wire: "f32", bucket: 0, hop: 0, segment: 0, offset: 0, elements: 1 },
      ...{ ...PLACE, ...place },
      payloadCrc: crc32(payload),
    };
    return [header, payload];
  };

  test("hands over what belongs to a collective in order, keeps what is later, forgets the rest", () => {
    const stash = new Stash(10);
    const { op, epoch } = PLACE;
    stash.put(...chunkAt({ op: op + 1, attempt: 0 }, 1));
    stash.put(...chunkAt({ op: op + 2, attempt: 0 }, 2));
    stash.put(...chunkAt({ op: op + 2, attempt: 1 }, 3));
    stash.put(...chunkAt({ op: op + 3, attempt: 0 }, 4));
    stash.put(...chunkAt({ op: op + 2, attempt: 0 }, 5));
    const taken = stash.take({ ...PLACE, op: op + 2, attempt: 0 });
    expect(taken.map(({ payload }) => payload[0])).toEqual([2, 5]);
    expect(stash.size).toBe(2);
    const retried = stash.take({ ...PLACE, op: op + 2, attempt: 1 });
    expect(retried.map(({ payload }) => payload[0])).toEqual([3]);
    expect(stash.take({ ...PLACE, epoch: epoch + 1, op: op + 3, attempt: 0 })).toEqual([]);
    expect(stash.size).toBe(0);
  });

  test("has its limit, and room again after it is emptied", () => {
    const stash = new Stash(2);
    const chunk = chunkAt({ op: PLACE.op + 1 });
    stash.put(...chunk);
    stash.put(...chunk);
    expect(clusterCodeOf(() => stash.put(...chunk))).toBe("protocol_violated");
    expect(stash.take({ ...PLACE, op: PLACE.op + 1 })).toHaveLength(2);
    stash.put(...chunk);
    expect(stash.size).toBe(1);
  });

  test("holds nothing that is not what it says", () => {
    const [header] = chunkAt({ op: PLACE.op + 1 });
    const stash = new Stash(2);
    expect(clusterCodeOf(() => stash.put(header, new Uint8Array(4)))).toBe("frame_invalid");
    expect(clusterCodeOf(() => stash.put(header, new Uint8Array(1000)))).toBe("frame_invalid");
    expect(stash.size).toBe(0);
  });
});

describe("plan and places", () => {
  const shape: RingShape = {
    ...{ rank: 0, world: 2, total: 1000, wire: "int8", chunkBytes: 300 },
    buckets: [{ from: 0, to: 1000 }],
  };

  test("buckets hold each element once", () => {
    const bad = [
      [],
      [{ from: 0, to: 512 }],
      [{ from: 256, to: 1000 }],
      [
        { from: 0, to: 512 },
        { from: 256, to: 1000 },
      ],
      [
        { from: 0, to: 256 },
        { from: 512, to: 1000 },
      ],
      [
        { from: 0, to: 300 },
        { from: 300, to: 1000 },
      ],
      [
        { from: 0, to: 1000 },
        { from: 256, to: 512 },
      ],
    ];
    for (const buckets of bad)
      expect(clusterCodeOf(() => new RingPlan({ ...shape, buckets }))).toBe("argument_invalid");
    const good = [
      { from: 512, to: 1000 },
      { from: 256, to: 256 },
      { from: 0, to: 256 },
      { from: 256, to: 512 },
      { from: 1000, to: 1000 },
    ];
    expect(new RingPlan({ ...shape, buckets: good }).chunks).toHaveLength(4);
  });

  test("all places that a collective needs are there, apart from each other", () => {
    const memory = allocateMemory(4 * 65_536, false);
    const places: Places = {
      ...{ contribution: 0, result: 4000, residual: 8000, nextResidual: 12_000, packed: 16_001 },
    };
    const codeOfPlaces = (change: Partial<Record<keyof Places, number | undefined>>) =>
      codeOf(
        () =>
          new Workspace(new RingPlan(shape), "both", memory, { ...places, ...change } as Places),
      );
    expect(codeOfPlaces({})).toBe("");
    for (const name of Object.keys(places) as (keyof Places)[]) {
      expect(codeOfPlaces({ [name]: undefined })).toBe("argument_invalid");
      expect(codeOfPlaces({ [name]: -4 })).toBe("argument_invalid");
      expect(codeOfPlaces({ [name]: 4 * 65_536 - 4 })).toBe("argument_invalid");
      if (name !== "packed") expect(codeOfPlaces({ [name]: 40_001 })).toBe("argument_invalid");
      const other = name === "result" ? 3996 + 4000 : 3996;
      expect([name, codeOfPlaces({ [name]: other })]).toEqual([name, "argument_invalid"]);
    }
    const gather = () => new Workspace(new RingPlan(shape), "gather", memory, places);
    expect(codeOf(gather)).toBe("argument_invalid");
    const f32 = new RingPlan({ ...shape, wire: "f32", chunkBytes: 1024 });
    expect(codeOf(() => new Workspace(f32, "gather", memory, { result: 0 }))).toBe("");
    expect(codeOf(() => new Workspace(f32, "reduce", memory, { result: 0 }))).toBe(
      "argument_invalid",
    );
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
