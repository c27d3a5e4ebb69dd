/** The pool's routes, over real sockets: a board behind a node's door, and players who ask there. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { Cluster, NodeClient, Token } from "../../cluster/index.ts";
import { ForgeError } from "../../engine/index.ts";
import { DataPool } from "../../src/pool/pool.ts";
import type { GroupRecord } from "../../src/pool/record.ts";
import { HttpJobSource } from "../../src/train/cluster/http-job-source.ts";
import { type EncodedGroup, encodePlayedGroup } from "../../src/train/cluster/played-group.ts";
import { POOL_PATHS, PoolDoor, SUPERSEDED } from "../../src/train/cluster/pool-door.ts";
import type { Job } from "../../src/train/episode/dispatcher.ts";
import { CollectingWorld } from "../support/collecting-world.ts";
import { rejectionOf } from "../support/errors.ts";
import { playedGroup } from "../support/played-group.ts";

const token = Token.create();
const runId = "0f".repeat(16);
const ends: (() => Promise<void> | void)[] = [];
const never = new AbortController().signal;

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A node that collects two groups, and a player of it. */
async function open(): Promise<{
  world: CollectingWorld;
  door: PoolDoor;
  client: NodeClient;
  source: HttpJobSource;
  address: string;
}> {
  const world = new CollectingWorld({ slots: 2, groupsPerStep: 2, window: "strict" });
  const door = new PoolDoor();
  const cluster = await Cluster.open({ nodeId: "leader", runId, token, routes: door.routes });
  ends.push(() => cluster[Symbol.asyncDispose]());
  door.board = world.board;
  const client = new NodeClient({ nodeId: "p", runId, token: token.forRollouts, role: "rollout" });
  ends.push(() => client[Symbol.dispose]());
  const { address } = cluster;
  const source = new HttpJobSource(client, () => ({ node: "leader", address }));
  return { world, door, client, source, address };
}

/** What a player makes of a job. */
function encoded(job: Job): EncodedGroup {
  const { groupId, taskId, sessions } = playedGroup(job);
  let played: GroupRecord | undefined;
  const pool = new DataPool({
    capacityTokens: 1000,
    onFinished: (group) => {
      played = group;
    },
  });
  pool.open({ groupId, taskId, sessions: sessions.length, awaits: ["success"] });
  pool.adopt(groupId, sessions);
  return encodePlayedGroup(played as GroupRecord, job.attempt, null);
}

describe("the pool's door", () => {
  it("hands out groups, and takes what is made of them, once", async () => {
    const { world, source } = await open();
    world.collector.admit();
    const { jobs } = await source.take({ room: 2, holds: [] }, never);
    expect(jobs.map(({ groupId }) => groupId)).toEqual([0, 1]);
    for (const job of jobs) {
      const played = encoded(job);
      expect(await source.give(played, never)).toBe("taken");
      expect(await source.give(played, never)).toBe("unwanted");
    }
    expect(world.scheduler.visible).toEqual([0]);
  });

  it("answers a question that waits when there is something, and forgets who hangs up", async () => {
    const { world, source } = await open();
    const hasty = new AbortController();
    const forgotten = source.take({ room: 2, holds: [] }, hasty.signal);
    forgotten.catch(() => {});
    const asked = world.board.stats.players.length;
    while (world.board.stats.players.length === asked) await sleep(1);
    hasty.abort();
    await expect(forgotten).rejects.toThrow("given up");
    const taken = source.take({ room: 1, holds: [] }, never);
    let isThere = false;
    void taken.then(() => {
      isThere = true;
    });
    await sleep(30);
    expect(isThere).toBe(false);
    world.collector.admit();
    expect((await taken).jobs).toHaveLength(1);
  });

  it("tells one question from a later one that has overtaken it", async () => {
    const { client, address, world } = await open();
    const ask = (): Promise<{ readonly status: number }> =>
      client.ask(address, {
        ...{
          method: "POST",
          path: POOL_PATHS.take,
          body: { room: 1, holds: [] },
          timeoutMs: 20_000,
        },
      });
    const first = ask();
    while (world.board.stats.players.length === 0) await sleep(1);
    const second = ask();
    expect((await first).status).toBe(SUPERSEDED);
    world.collector.admit();
    expect((await second).status).toBe(200);
  });

  it("says so when what comes cannot be used, and when the node does not lead", async () => {
    const { source, door, client, address, world } = await open();
    const refused = await rejectionOf(source.take({ room: -1, holds: [] }, never));
    expect(refused).toBe("argument_invalid");
    const nonsense = await client.ask(address, {
      ...{ method: "POST", path: POOL_PATHS.give, body: Buffer.from("{") },
    });
    expect(nonsense.status).toBe(422);
    expect(world.board.stats.out).toBe(0);
    door.board = undefined;
    // to be asked again, at whoever leads by then
    expect(await source.take({ room: 1, holds: [] }, never)).toEqual({ jobs: [], cancelled: [] });
    const played = encoded({ groupId: 0, attempt: 1, version: 0 });
    await expect(source.give(played, never)).rejects.not.toBeInstanceOf(ForgeError);
  });
});
