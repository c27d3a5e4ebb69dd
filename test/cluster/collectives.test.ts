/** Sums over rings with real sockets, all nodes in one process. */
import { afterEach, describe, expect, it } from "vitest";
import {
  bucketsOf,
  type CollectiveRun,
  Collectives,
  ownedRange,
  type Traffic,
} from "../../cluster/collectives.ts";
import { packScalar } from "../../cluster/ring/scalar.ts";
import { BLOCK, bytesOf, type WireType } from "../../cluster/ring/wire-type.ts";
import { RingPlane } from "../../cluster/ring-plane/ring-plane.ts";
import { RingVector } from "../../cluster/ring-vector.ts";
import { Token } from "../../cluster/transport/token.ts";
import { bf16, int8Block, ringSum } from "../reference/ring-sum.ts";
import { contributionsOf, isSame } from "../support/collectives.ts";
import { blocksOf } from "../support/reducer-bench.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const planes: RingPlane[] = [];

afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane[Symbol.asyncDispose]()));
});

interface Rank {
  readonly collectives: Collectives;
  readonly traffic: Traffic;
}

/** The collectives of all ranks of an epoch. */
async function ranksOf(world: number): Promise<Rank[]> {
  const members = Array.from({ length: world }, (_, rank) => `n${rank}`);
  const own = await Promise.all(
    members.map((nodeId) =>
      RingPlane.open({ runId, token, nodeId, progressMs: 60_000, connectMs: 60_000 }),
    ),
  );
  planes.push(...own);
  const addressesOf = (node: string): readonly string[] | undefined =>
    own[members.indexOf(node)]?.urls;
  await Promise.all(own.map((plane) => plane.begin({ epoch: 1, members, addressesOf })));
  return own.map((plane, rank) => {
    const traffic = { bytes: 0, ms: 0 };
    return {
      collectives: new Collectives({ rings: plane, rank, world, chunkBytes: 4096 }, traffic),
      traffic,
    };
  });
}

/** Does the same at all ranks. */
function atAll<T>(
  ranks: readonly Rank[],
  act: (own: Collectives, rank: number) => Promise<T>,
): Promise<T[]> {
  return Promise.all(ranks.map(({ collectives }, rank) => act(collectives, rank)));
}

/** Around the world, around a block for each, primes, and several chunks. */
function lengthsOf(world: number): number[] {
  const all = [0, 1, world - 1, world, world + 1, 257, world * BLOCK - 1, world * BLOCK + 1, 4099];
  return [...new Set(all)];
}

function filled(
  length: number,
  wire: WireType,
  contribution: Float32Array | undefined,
): RingVector {
  const vector = new RingVector(length, wire);
  vector.contribution.set(contribution as Float32Array);
  vector.result.fill(Number.NaN);
  return vector;
}

function packedOf(values: Float32Array, wire: "bf16" | "int8"): Uint8Array {
  const bytes = new Uint8Array(bytesOf(values.length, wire));
  const none = { residual: new Float32Array(values.length), nextResidual: values.slice() };
  packScalar(wire, values, new DataView(bytes.buffer), none);
  return bytes;
}

/** What is read of it, by the oracle. */
function readOf(values: Float32Array, wire: "bf16" | "int8"): Float32Array {
  if (wire === "bf16") return values.map(bf16);
  return Float32Array.from(blocksOf(values).flatMap((block) => int8Block(block).values));
}

describe.each([1, 2, 3, 5])("%i nodes", (world) => {
  it("sums, reduces and gathers vectors of any length, one after the other", async () => {
    const ranks = await ranksOf(world);
    for (const [seed, length] of lengthsOf(world).entries()) {
      const given = contributionsOf(world, length, seed);
      const expected = ringSum(given, "f32").sum;
      for (const sum of await atAll(ranks, (own, rank) => own.sum(given[rank] as Float32Array)))
        expect(isSame(sum, expected)).toBe(true);
      const owned = ranks.map(({ collectives }) => collectives.ownedRange(length));
      expect(owned.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(length);
      await atAll(ranks, async (own, rank) => {
        const vector = filled(length, "f32", given[rank]);
        await own.reduce(vector);
        const { from, to } = own.ownedRange(length);
        expect(isSame(vector.result.subarray(from, to), expected.subarray(from, to))).toBe(true);
        // what was done with the sum goes round as it is, and nothing else
        const mine = vector.result.slice(from, to).map((value) => value / 3);
        vector.result.fill(Number.NaN).set(mine, from);
        await own.gather(vector);
        expect(
          isSame(
            vector.result,
            expected.map((value) => value / 3),
          ),
        ).toBe(true);
      });
    }
  });

  it.each(["bf16", "int8"] as const)(
    "sums in %s as the oracle does, and keeps what is lost if told to",
    async (wire) => {
      const ranks = await ranksOf(world);
      const length = 3 * BLOCK + 7;
      const given = contributionsOf(world, length, 5);
      const vectors = given.map((own) => filled(length, wire, own));
      const sumAll = async (): Promise<Float32Array> => {
        await atAll(ranks, (own, rank) => own.allReduce(vectors[rank] as RingVector));
        const [first, ...others] = vectors.map(({ result }) => result);
        for (const other of others) expect(isSame(other, first as Float32Array)).toBe(true);
        return (first as Float32Array).slice();
      };
      const first = ringSum(given, wire);
      expect(isSame(await sumAll(), first.sum)).toBe(true);
      // it came to nothing, and is made again
      for (const vector of vectors) vector.carryResidual();
      for (const vector of vectors) vector.restoreResidual();
      expect(isSame(await sumAll(), first.sum)).toBe(true);
      for (const vector of vectors) vector.carryResidual();
      for (const vector of vectors) vector.keepResidual();
      const second = ringSum(given, wire, wire === "int8" ? first.residuals : undefined);
      expect(isSame(await sumAll(), second.sum)).toBe(true);
      // several sums of a step carry on, and come to nothing together
      for (const vector of vectors) vector.carryResidual();
      const third = ringSum(given, wire, wire === "int8" ? second.residuals : undefined);
      expect(isSame(await sumAll(), third.sum)).toBe(true);
      for (const vector of vectors) vector.restoreResidual();
      expect(isSame(await sumAll(), second.sum)).toBe(true);
      for (const vector of vectors) vector.clearResidual();
      expect(isSame(await sumAll(), first.sum)).toBe(true);
      expect(isSame(first.sum, second.sum)).toBe(wire === "bf16" || world === 1);
    },
  );

  it("sums buckets in the order in which they come, to the same bits", async () => {
    const ranks = await ranksOf(world);
    const length = 2 ** 18 + 1_000;
    const given = contributionsOf(world, length, 9);
    const vectors = given.map(() =>
      filled(length, "f32", new Float32Array(length).fill(Number.NaN)),
    );
    const runs = ranks.map(({ collectives, traffic }, rank) => {
      const run = collectives.start(vectors[rank] as RingVector, "both");
      expect(run.buckets).toEqual(bucketsOf(length));
      expect(run.buckets).toHaveLength(3);
      expect(traffic.bytes).toBe(0);
      return run;
    });
    for (const bucket of [2, 0, 1])
      for (const [rank, run] of runs.entries()) {
        const { from, to } = run.buckets[bucket] as { from: number; to: number };
        const own = vectors[rank] as RingVector;
        own.contribution.set((given[rank] as Float32Array).subarray(from, to), from);
        run.ready(bucket);
        await new Promise((resolve) => setImmediate(resolve));
      }
    await Promise.all(runs.map(({ done }) => done));
    const expected = ringSum(given, "f32").sum;
    for (const { result } of vectors) expect(isSame(result, expected)).toBe(true);
    for (const { traffic } of ranks) expect(traffic.bytes > 0).toBe(world > 1);
  });

  it.each(["bf16", "int8"] as const)("sums what is packed already, %s", async (wire) => {
    const ranks = await ranksOf(world);
    const length = 5 * BLOCK + 7;
    const given = contributionsOf(world, length, 6);
    const packed = given.map((own) => packedOf(own, wire));
    const vectors = packed.map((own) => {
      const vector = new RingVector(length, wire, { contribution: "packed" });
      vector.packedContribution.set(own);
      return vector;
    });
    const read = given.map((own) => readOf(own, wire));
    let owed: readonly Float32Array[] | undefined;
    for (let step = 0; step < 3; step++) {
      await atAll(ranks, (own, rank) => own.allReduce(vectors[rank] as RingVector));
      const oracle = ringSum(read, wire, owed, true);
      for (const { result } of vectors) expect(isSame(result, oracle.sum)).toBe(true);
      for (const vector of vectors) vector.carryResidual();
      owed = oracle.residuals;
    }
    for (const [rank, vector] of vectors.entries())
      expect(Buffer.compare(vector.packedContribution, packed[rank] as Uint8Array)).toBe(0);
  });

  it("counts what is sent", async () => {
    const ranks = await ranksOf(world);
    const length = world * BLOCK;
    await atAll(ranks, (own) => own.reduce(new RingVector(length, "int8")));
    for (const { traffic } of ranks)
      expect(traffic.bytes).toBe((world - 1) * bytesOf(BLOCK, "int8"));
    await atAll(ranks, (own) => own.sum(new Float32Array(length)));
    for (const { traffic } of ranks) {
      expect(traffic.bytes).toBe((world - 1) * (bytesOf(BLOCK, "int8") + 2 * 4 * BLOCK));
      expect(traffic.ms).toBeGreaterThan(0);
    }
  });
});

it("an attempt that comes to nothing leaves what is packed and what is owed as they were", async () => {
  const length = 4 * BLOCK;
  const given = contributionsOf(2, length, 8);
  const read = given.map((own) => readOf(own, "int8"));
  const vectors = given.map((own) => {
    const vector = new RingVector(length, "int8", { contribution: "packed" });
    vector.packedContribution.set(packedOf(own, "int8"));
    return vector;
  });
  const ranks = await ranksOf(2);
  await atAll(ranks, (own, rank) => own.allReduce(vectors[rank] as RingVector));
  for (const vector of vectors) vector.carryResidual();
  const abort = new AbortController();
  const [first, second] = ranks.map(({ collectives }, rank) =>
    collectives.start(vectors[rank] as RingVector, "both", abort.signal),
  ) as [CollectiveRun, CollectiveRun];
  first.ready(0);
  abort.abort();
  for (const { done } of [first, second]) await expect(done).rejects.toHaveProperty("code");
  const others = await ranksOf(2);
  await atAll(others, (own, rank) => own.allReduce(vectors[rank] as RingVector));
  const before = ringSum(read, "int8", undefined, true);
  const after = ringSum(read, "int8", before.residuals, true);
  for (const { result } of vectors) expect(isSame(result, after.sum)).toBe(true);
});

it("what is given is where it belongs, packed or not", () => {
  const refusal = expect.objectContaining({ code: "argument_invalid" });
  for (const wire of ["bf16", "int8"] as const) {
    const packed = new RingVector(300, wire, { contribution: "packed" });
    expect(packed.packedContribution).toHaveLength(bytesOf(300, wire));
    expect(packed.packedContribution.byteOffset % 16).toBe(0);
    expect(() => packed.contribution).toThrow(refusal);
    const floats = new RingVector(300, wire);
    expect(floats.contribution).toHaveLength(300);
    expect(() => floats.packedContribution).toThrow(refusal);
  }
  const plain = new RingVector(300, "f32", { contribution: "packed" });
  plain.contribution[299] = 1;
  expect(plain.packedContribution.slice(-4)).toEqual(new Uint8Array([0, 0, 0x80, 0x3f]));
});

it("a second collective has to wait for the first", async () => {
  const [rank] = (await ranksOf(1)) as [Rank];
  rank.collectives.start(new RingVector(10, "f32"), "both");
  expect(() => rank.collectives.start(new RingVector(10, "f32"), "both")).toThrow(
    expect.objectContaining({ code: "argument_invalid" }),
  );
});

it("buckets hold every element once, in whole blocks, neither tiny nor huge", () => {
  for (const length of [
    0,
    1,
    BLOCK,
    2 ** 17,
    2 ** 17 + 1,
    1_300_001,
    2 ** 21,
    2 ** 25,
    2 ** 25 + 257,
    2 ** 28,
  ]) {
    const buckets = bucketsOf(length);
    const [first] = buckets;
    expect(first?.from).toBe(0);
    expect(buckets.at(-1)?.to).toBe(length);
    for (const [i, { from, to }] of buckets.entries()) {
      expect(from % BLOCK).toBe(0);
      if (i > 0) expect(from).toBe(buckets[i - 1]?.to);
      expect(to - from).toBeLessThanOrEqual(2 ** 21);
      if (i < buckets.length - 1) expect(to - from).toBeGreaterThanOrEqual(2 ** 17);
    }
  }
  // there are some where it pays
  expect(bucketsOf(1_300_000)).toHaveLength(10);
  expect(bucketsOf(2 ** 24)).toHaveLength(16);
});

it("the signal of one ends it for all", async () => {
  const ranks = await ranksOf(3);
  const abort = new AbortController();
  const sums = ranks.slice(0, 2).map(({ collectives }) => collectives.sum([1], abort.signal));
  abort.abort();
  for (const sum of await Promise.allSettled(sums)) expect(sum.status).toBe("rejected");
  await expect((ranks[2] as Rank).collectives.sum([1])).rejects.toHaveProperty("code");
});

it("each rank owns the segment whose sum the ring leaves there", () => {
  expect(ownedRange(3 * BLOCK, { rank: 0, world: 3 })).toEqual({ from: BLOCK, to: 2 * BLOCK });
  expect(ownedRange(3 * BLOCK, { rank: 2, world: 3 })).toEqual({ from: 0, to: BLOCK });
  expect(ownedRange(5, { rank: 0, world: 1 })).toEqual({ from: 0, to: 5 });
});
