/** Members that keep the others waiting: those who compute are waited for, those who do nothing are named. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { type CollectiveRun, Collectives } from "../../cluster/collectives.ts";
import { RingPlane, type RingPlaneOptions } from "../../cluster/ring-plane/ring-plane.ts";
import { RingVector } from "../../cluster/ring-vector.ts";
import { RingSender } from "../../cluster/transport/ring-connection.ts";
import { Token } from "../../cluster/transport/token.ts";
import { ManualClock } from "../support/manual-clock.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const PROGRESS = 400;
/** Two buckets. */
const LENGTH = 2 ** 17 + 100;
const planes: RingPlane[] = [];

afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane[Symbol.asyncDispose]()));
});

/** The collectives of nodes n0, n1, …, with what each is told besides. */
async function ringOf(options: readonly Partial<RingPlaneOptions>[]): Promise<Collectives[]> {
  const members = options.map((_, rank) => `n${rank}`);
  const own = await Promise.all(
    options.map((each, rank) =>
      RingPlane.open({
        ...{ runId, token, nodeId: members[rank] as string, progressMs: PROGRESS },
        ...{ connectMs: 60_000, ...each },
      }),
    ),
  );
  planes.push(...own);
  const addressesOf = (node: string): readonly string[] | undefined =>
    own[members.indexOf(node)]?.urls;
  await Promise.all(own.map((plane) => plane.begin({ epoch: 1, members, addressesOf })));
  return own.map(
    (plane, rank) =>
      new Collectives({ rings: plane, rank, world: members.length, chunkBytes: 2 ** 16 }),
  );
}

function ones(length = LENGTH): RingVector {
  const vector = new RingVector(length, "f32");
  vector.contribution.fill(1);
  return vector;
}

function readyAll(run: CollectiveRun): void {
  for (const bucket of run.buckets.keys()) run.ready(bucket);
}

/** How it ended, which cannot be missed. */
function endOf(run: Promise<unknown>): Promise<unknown> {
  return run.then(
    () => "done",
    (error) => error,
  );
}

describe("one that is late by three times what a collective may go without progress", () => {
  it("is waited for where it has begun, with a bucket ready or with none", async () => {
    const ring = await ringOf([{}, {}, {}, {}]);
    const vectors = ring.map(() => ones());
    const runs = ring.map((own, rank) => own.start(vectors[rank] as RingVector, "both"));
    const [a, b, c, d] = runs as [CollectiveRun, CollectiveRun, CollectiveRun, CollectiveRun];
    readyAll(a);
    readyAll(c);
    d.ready(1);
    await sleep(3 * PROGRESS);
    d.ready(0);
    await sleep(PROGRESS);
    readyAll(b);
    await Promise.all(runs.map(({ done }) => done));
    for (const { result } of vectors) expect(result.every((value) => value === 4)).toBe(true);
  });

  it("is waited for where it has not begun, also by those to whom it gives nothing", async () => {
    const ring = await ringOf([{}, {}, {}]);
    const [a, b, c] = ring as [Collectives, Collectives, Collectives];
    // one block, whose owner is the last one: it has done its part when the first has begun
    const vectors = ring.map(() => new RingVector(100, "f32"));
    vectors[2]?.result.fill(7);
    const gathered = [a.gather(vectors[0] as RingVector), c.gather(vectors[2] as RingVector)];
    await sleep(3 * PROGRESS);
    await Promise.all([...gathered, b.gather(vectors[1] as RingVector)]);
    for (const { result } of vectors) expect(result.every((value) => value === 7)).toBe(true);
    const sums = [a.sum([1]), b.sum([2])];
    await sleep(3 * PROGRESS);
    expect(await Promise.all([...sums, c.sum([3])])).toEqual(Array(3).fill(Float32Array.of(6)));
  });

  it("is named by all when it has been for too long", async () => {
    const ring = await ringOf(Array(3).fill({ readyMs: 3 * PROGRESS }));
    const runs = ring.map((own) => own.start(ones(), "both"));
    readyAll(runs[0] as CollectiveRun);
    readyAll(runs[2] as CollectiveRun);
    const named = { code: "peer_stalled", suspect: "n1" };
    expect(await endOf((runs[0] as CollectiveRun).done)).toMatchObject(named);
    expect(await endOf((runs[2] as CollectiveRun).done)).toMatchObject(named);
  });
});

it("one that is stopped says nothing, and is named in the usual time", async () => {
  const [clock, stopped] = [new ManualClock(), new ManualClock()];
  const ring = await ringOf([{ clock }, { clock: stopped }, { clock }]);
  const [a, , c] = ring.map((own) => own.start(ones(), "both")) as CollectiveRun[];
  readyAll(a as CollectiveRun);
  readyAll(c as CollectiveRun);
  clock.advance(PROGRESS - 1);
  const end = endOf((c as CollectiveRun).done);
  expect(await Promise.race([end, sleep(50, "under way")])).toBe("under way");
  clock.advance(2);
  expect(await end).toMatchObject({ code: "peer_stalled", suspect: "n1" });
});

it("one whose collective has failed is not waited for", async () => {
  const [a, b] = (await ringOf([{}, {}])) as [Collectives, Collectives];
  const bad = ones();
  bad.contribution[5] = Number.NaN;
  const waiting = endOf(b.allReduce(ones()));
  expect(await endOf(a.allReduce(bad))).toMatchObject({ code: "non_finite" });
  expect(await waiting).toMatchObject({ code: "peer_stalled", suspect: "n0" });
});

it("a sign that comes from further than there are members ends the connection with 1008", async () => {
  await ringOf([{}, {}, {}]);
  const [sender] = [...(planes[0] as RingPlane).listener.connections];
  if (!(sender instanceof RingSender)) throw new Error("no sender");
  sender.busy({ op: 0, hops: 3 });
  expect(await sender.closed).toMatchObject({ code: 1008, by: "peer" });
});
