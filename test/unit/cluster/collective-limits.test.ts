import { describe, expect, test } from "vitest";
import { ClusterError } from "../../../cluster/error.ts";
import { Collective, type OutgoingChunk } from "../../../cluster/ring/collective.ts";
import { RingPlan, type RingShape } from "../../../cluster/ring/plan.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { BLOCK, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { type Places, Workspace } from "../../../cluster/ring/workspace.ts";
import { checksum } from "../../reference/checksum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import { collectivesOf, contributionsOf, handTo, Peer, PLACE } from "../../support/collectives.ts";

function peersOf(world: number, total: number, wire: WireType): Peer[] {
  return contributionsOf(world, total, 1).map((own, index) => new Peer(index, wire, own));
}

function next(rank: Collective): OutgoingChunk {
  return rank.nextChunk() as OutgoingChunk;
}

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
    const header = { ...sum.header, checksum: checksum(payload) };
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
      // as many as there are, but not the same
      [
        { from: 0, to: 512 },
        { from: 256, to: 512 },
        { from: 768, to: 1000 },
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
    for (const lane of [
      { index: 1, of: 1 },
      { index: -1, of: 2 },
      { index: 0.5, of: 2 },
    ]) {
      const plan = (): RingPlan => new RingPlan({ ...shape, buckets: good, lane });
      expect(clusterCodeOf(plan)).toBe("argument_invalid");
    }
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
