/** Rings over real sockets, all nodes in one process. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { allocateMemory, type WasmMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, type WireType } from "../../cluster/ring/wire-type.ts";
import { RingPlane, type RingPlaneOptions } from "../../cluster/ring-plane/ring-plane.ts";
import type { RingSpace } from "../../cluster/ring-plane/rings.ts";
import { Token } from "../../cluster/transport/token.ts";
import { ringSum } from "../reference/ring-sum.ts";
import { contributionsOf, isSame } from "../support/collectives.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { moveAll } from "../support/move-all.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const TOTAL = 9_000;
const planes: RingPlane[] = [];

/** A node with places for a vector. */
class Rank {
  readonly plane: RingPlane;
  readonly id: string;
  readonly #memory: WasmMemory;

  private constructor(
    plane: RingPlane,
    id: string,
    memory: WasmMemory = allocateMemory(12 * TOTAL, true),
  ) {
    this.plane = plane;
    this.id = id;
    this.#memory = memory;
  }

  static async open(id: string, options: Partial<RingPlaneOptions> = {}): Promise<Rank> {
    const plane = await RingPlane.open({ runId, token, nodeId: id, ...options });
    planes.push(plane);
    return new Rank(plane, id);
  }

  get contribution(): Float32Array {
    return new Float32Array(this.#memory.buffer, 0, TOTAL);
  }

  get result(): Float32Array {
    return new Float32Array(this.#memory.buffer, 4 * TOTAL, TOTAL);
  }

  /** The same places, for another ring of the node. */
  beside(plane: RingPlane): Rank {
    planes.push(plane);
    return new Rank(plane, this.id, this.#memory);
  }

  space(rank: number, world: number, wire: WireType = "f32", blocks = 3): RingSpace {
    const cut = BLOCK * 17;
    const shape = {
      ...{ rank, world, wire, total: TOTAL, chunkBytes: blocks * bytesOf(BLOCK, wire) },
      buckets: [
        { from: cut, to: TOTAL },
        { from: 0, to: cut },
      ],
    };
    const places = { contribution: 0, result: 4 * TOTAL, packed: 8 * TOTAL };
    return { shape, phases: "both", memory: this.#memory, places };
  }
}

afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane[Symbol.asyncDispose]()));
});

async function ranksOf(world: number, options?: Partial<RingPlaneOptions>): Promise<Rank[]> {
  return Promise.all(Array.from({ length: world }, (_, rank) => Rank.open(`n${rank}`, options)));
}

/** Begins an epoch at one of its ranks. */
function begin(rank: Rank, ranks: readonly Rank[], epoch: number): Promise<void> {
  return rank.plane.begin({
    epoch,
    members: ranks.map(({ id }) => id),
    addressesOf: (node) => {
      const urls = ranks.find(({ id }) => id === node)?.plane.urls;
      // of lane 0, and of lane 1
      return urls && [...urls, ...urls];
    },
  });
}

async function beginAll(ranks: readonly Rank[], epoch: number): Promise<void> {
  await Promise.all(ranks.map((rank) => begin(rank, ranks, epoch)));
}

/** Sums vectors of a seed at all ranks, and compares with the oracle. */
async function sum(
  ranks: readonly Rank[],
  op: number,
  seed: number,
  wire: WireType = "f32",
): Promise<void> {
  const given = contributionsOf(ranks.length, TOTAL, seed);
  await Promise.all(
    ranks.map(async (rank, i) => {
      // nobody is ready when others are
      await sleep((7 * (i + op)) % 5);
      rank.contribution.set(given[i] as Float32Array);
      await moveAll(rank.plane, rank.space(i, ranks.length, wire), { op, attempt: 0 });
      // the places are free at once
      rank.contribution.fill(Number.NaN);
    }),
  );
  const expected = ringSum(given, wire).sum;
  for (const { result } of ranks) expect(isSame(result, expected)).toBe(true);
}

it("sums are those of the oracle, op after op, on the same connections and places", async () => {
  for (const world of [1, 2, 4]) {
    const ranks = await ranksOf(world);
    await beginAll(ranks, 1);
    for (let op = 0; op < 5; op++) await sum(ranks, op, op, op % 2 === 0 ? "f32" : "bf16");
    // one that is under way is not begun again
    const [connection] = ranks[0]?.plane.listener.connections ?? [];
    await beginAll(ranks, 1);
    await sum(ranks, 5, 5);
    expect(connection?.isOpen).toBe(world > 1 ? true : undefined);
    await beginAll(ranks, 2);
    await sum(ranks, 0, 6);
    expect(connection?.isOpen).toBe(world > 1 ? false : undefined);
  }
});

it("two rings at once sum one vector, each its buckets; no lane opens another", async () => {
  const ranks = await ranksOf(3);
  const others = await Promise.all(
    ranks.map(async (rank) =>
      rank.beside(
        await RingPlane.open({ runId, token, nodeId: rank.id, lane: { index: 1, of: 2 } }),
      ),
    ),
  );
  await Promise.all([beginAll(ranks, 1), beginAll(others, 1)]);
  const given = contributionsOf(3, TOTAL, 5);
  for (const [i, rank] of ranks.entries()) rank.contribution.set(given[i] as Float32Array);
  await Promise.all(
    [ranks, others].flatMap((lane) =>
      lane.map((rank, i) => moveAll(rank.plane, rank.space(i, 3), { op: 0, attempt: 0 })),
    ),
  );
  const expected = ringSum(given, "f32").sum;
  for (const { result } of ranks) expect(isSame(result, expected)).toBe(true);
  const mixed = [ranks[0], others[1], ranks[2]] as Rank[];
  await expect(beginAll(mixed, 2)).rejects.toMatchObject({ code: "peer_unauthorized" });
});

it("those who are first wait for those who are late: for the epoch, and for each collective", async () => {
  const ranks = await ranksOf(3);
  const [a, b, c] = ranks as [Rank, Rank, Rank];
  const early = Promise.all([begin(a, ranks, 7), begin(b, ranks, 7)]);
  await sleep(100);
  await Promise.all([early, begin(c, ranks, 7)]);
  const given = contributionsOf(3, TOTAL, 1);
  for (const [i, rank] of ranks.entries()) rank.contribution.set(given[i] as Float32Array);
  const first = moveAll(a.plane, a.space(0, 3), { op: 0, attempt: 0 });
  await sleep(50);
  // bucket by bucket, in another order
  const late = c.plane.start(c.space(2, 3), { op: 0, attempt: 0 });
  late.bucketReady(1);
  const second = moveAll(b.plane, b.space(1, 3), { op: 0, attempt: 0 });
  await sleep(50);
  expect(late.isOver).toBe(false);
  late.bucketReady(0);
  await Promise.all([first, second, late.done]);
  const expected = ringSum(given, "f32").sum;
  for (const { result } of ranks) expect(isSame(result, expected)).toBe(true);
});

it("a predecessor that does nothing is suspected; after an abort the same places are used again", async () => {
  const clock = new ManualClock();
  const ranks = await ranksOf(2, { clock });
  const [a] = ranks as [Rank, Rank];
  await beginAll(ranks, 1);
  a.contribution.fill(1);
  const run = a.plane.start(a.space(0, 2), { op: 0, attempt: 0 });
  clock.advance(10_000);
  // it waits for no one before it is ready itself
  expect(run.isOver).toBe(false);
  for (const bucket of [0, 1]) run.bucketReady(bucket);
  clock.advance(1_900);
  expect(run.isOver).toBe(false);
  clock.advance(200);
  await expect(run.done).rejects.toMatchObject({ code: "peer_stalled", suspect: "n1" });
  for (const { plane } of ranks) plane.abort();
  await beginAll(ranks, 2);
  await sum(ranks, 0, 3);
});

it("a node that was stopped itself suspects nobody before it has listened", async () => {
  const clock = new ManualClock();
  const ranks = await ranksOf(2, { clock });
  const [a, b] = ranks as [Rank, Rank];
  await beginAll(ranks, 1);
  for (const { contribution } of ranks) contribution.fill(1);
  const run = moveAll(a.plane, a.space(0, 2), { op: 0, attempt: 0 });
  // what the connections begin with is said
  await sleep(50);
  clock.wake(5_000);
  await Promise.all([run, moveAll(b.plane, b.space(1, 2), { op: 0, attempt: 0 })]);
  expect(a.result[0]).toBe(2);
});

it("a neighbour that never comes is suspected, one that is not there at once", async () => {
  const clock = new ManualClock();
  const ranks = await ranksOf(3, { clock });
  const [a, b, c] = ranks as [Rank, Rank, Rank];
  const begun = [begin(a, ranks, 1), begin(b, ranks, 1)].map((each) => each.catch((e) => e));
  await sleep(100);
  clock.advance(4_001);
  expect(await begun[0]).toMatchObject({ code: "peer_stalled", suspect: "n2" });
  expect(await begun[1]).toMatchObject({ code: "peer_stalled", suspect: "n2" });
  await c.plane[Symbol.asyncDispose]();
  await expect(begin(a, ranks, 2)).rejects.toMatchObject({
    ...{ code: "peer_unreachable", suspect: "n2" },
  });
});

it.each([0, 50])(
  "chunks of another plan end the connection with 1008 (%i ms early)",
  async (ms) => {
    const ranks = await ranksOf(2);
    const [a, b] = ranks as [Rank, Rank];
    await beginAll(ranks, 1);
    const senders = ranks.flatMap(({ plane }) => [...plane.listener.connections]);
    const others = moveAll(b.plane, b.space(1, 2, "f32", 4), { op: 0, attempt: 0 }).catch(
      (error) => error,
    );
    await sleep(ms);
    const own = moveAll(a.plane, a.space(0, 2, "f32", 3), { op: 0, attempt: 0 }).catch(
      (error) => error,
    );
    const errors = await Promise.all([own, others]);
    expect(errors).toContainEqual(expect.objectContaining({ code: "protocol_violated" }));
    const closed = await Promise.race(senders.map((sender) => sender.closed));
    expect(closed).toMatchObject({ code: 1008, by: "peer" });
  },
);

it("contributions that are not finite, a caller that gives up and a node that leaves end it at once", async () => {
  const ranks = await ranksOf(2);
  const [a, b] = ranks as [Rank, Rank];
  await beginAll(ranks, 1);
  a.contribution[5_000] = Number.NaN;
  await expect(moveAll(a.plane, a.space(0, 2), { op: 0, attempt: 0 })).rejects.toMatchObject({
    ...{ code: "non_finite", suspect: undefined },
  });
  await beginAll(ranks, 2);
  const giveUp = new AbortController();
  const runs = [
    moveAll(a.plane, a.space(0, 2), { op: 0, attempt: 0 }, giveUp.signal),
    b.plane.start(b.space(1, 2), { op: 0, attempt: 0 }).done,
  ].map((each) => each.catch((error) => error));
  a.contribution.fill(0);
  giveUp.abort();
  const [own, other] = await Promise.all(runs);
  expect(["collective_aborted", "non_finite"]).toContain(own.code);
  expect(other).toMatchObject({ code: "connection_closed" });
  await beginAll(ranks, 3);
  const last = moveAll(b.plane, b.space(1, 2), { op: 0, attempt: 0 }).catch((error) => error);
  await a.plane[Symbol.asyncDispose]();
  expect(await last).toMatchObject({ code: "connection_closed", suspect: undefined });
});

it("calls that make no sense are refused", async () => {
  const ranks = await ranksOf(2);
  const [a] = ranks as [Rank, Rank];
  const refusal = { code: "argument_invalid" };
  const place = { op: 0, attempt: 0 };
  expect(() => a.plane.start(a.space(0, 2), place)).toThrow(expect.objectContaining(refusal));
  await expect(
    a.plane.begin({ epoch: 1, members: ["x", "y"], addressesOf: () => [""] }),
  ).rejects.toMatchObject(refusal);
  await expect(
    a.plane.begin({ epoch: 1, members: ["n0", "y"], addressesOf: () => undefined }),
  ).rejects.toMatchObject(refusal);
  await beginAll(ranks, 2);
  const run = a.plane.start(a.space(0, 2), place);
  expect(() => a.plane.start(a.space(0, 2), place)).toThrow(expect.objectContaining(refusal));
  a.plane.abort();
  await expect(run.done).rejects.toMatchObject({ code: "collective_aborted" });
  expect(() => a.plane.start(a.space(0, 2), place)).toThrow(expect.objectContaining(refusal));
});
