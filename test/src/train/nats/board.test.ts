import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NatsLink } from "../../../../src/train/cluster/nats/connection.ts";
import { NatsJobSource } from "../../../../src/train/cluster/nats/nats-job-source.ts";
import { namesOf } from "../../../../src/train/cluster/nats/streams.ts";
import { rejectionOf } from "../../../support/errors.ts";
import { NatsPlayer } from "../../../support/nats-player.ts";
import { NatsServer, natsServer, natsTitle, until } from "../../../support/nats-server.ts";
import { encodedGroup, NatsWorld, RUN, WINDOW } from "../../../support/nats-world.ts";

const names = namesOf(RUN);
const never = new AbortController().signal;

/** Results that the server keeps. */
async function stored({ link }: { readonly link: NatsLink }): Promise<number> {
  return (await link.manager.streams.info(names.results.stream)).state.messages;
}

/** Jobs that the server keeps. */
async function queued({ link }: { readonly link: NatsLink }): Promise<number> {
  return (await link.manager.streams.info(names.jobs.stream)).state.messages;
}

describe.skipIf(natsServer === undefined)(natsTitle("NatsBoard and NatsJobSource"), () => {
  let server: NatsServer;
  beforeEach(async () => {
    server = await NatsServer.start();
  });
  afterEach(() => server[Symbol.asyncDispose]());

  it("bring every group once, and leave nothing behind", async () => {
    await using world = await NatsWorld.open(server.url);
    await using _one = await NatsPlayer.open(server.url, "one");
    await using _two = await NatsPlayer.open(server.url, "two");
    await until("both are there", () => world.board.players === 2);
    const used: number[] = [];
    for (let step = 0; step < 10; step++) {
      used.push(...(await world.collect()));
      world.commit();
    }
    expect(new Set(used).size).toBe(40);
    // a step may take a group before an older one, within the window
    expect(Math.max(...used)).toBeLessThan(40 + WINDOW);
    expect([...world.finished.values()].every((times) => times === 1)).toBe(true);
    expect(world.troubles).toEqual([]);
    await world.board[Symbol.asyncDispose]();
    await world.board.remove();
    expect(await world.link.manager.streams.names().next()).toEqual([]);
  });

  it("keep results until the step that used them is committed", async () => {
    await using world = await NatsWorld.open(server.url, { leaseMs: 300 });
    await using player = await NatsPlayer.open(server.url, "one", { room: 16 });
    world.admit();
    await until("all are in", () => world.finished.size === 16);
    await world.collect();
    // they are not sent again to who has them, however long the step takes
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const { stream, consumer } = names.results;
    const info = await world.link.manager.consumers.info(stream, consumer);
    expect(info.num_redelivered).toBe(0);
    expect(await stored(world)).toBe(16);
    expect(world.board.stats).toEqual({ out: 0, capacity: 16, kept: 16, early: 0 });
    world.commit();
    await until("four are used", async () => (await stored(world)) === 12);
    expect(player.given).toHaveLength(16);
  });

  it("give a successor what its predecessor had not used when it died", async () => {
    const world = await NatsWorld.open(server.url);
    const player = await NatsPlayer.open(server.url, "one", { room: 16 });
    world.admit();
    await until("the first are in", () => world.finished.size === 16);
    await world.collect();
    const from = world.commit();
    world.admit();
    await until("all are in", () => world.finished.size === 20);
    await player[Symbol.asyncDispose]();
    // a step that is never committed
    const lost = await world.collect();
    await world.link.connection.close();

    await using next = await NatsWorld.open(server.url, { from });
    await until("they come again", () => next.board.stats.early === 16);
    // nobody plays any more, and nobody has to
    expect(await next.collect()).toEqual(lost);
    for (let step = 0; step < 3; step++) {
      next.commit();
      await next.collect();
    }
    // of what was finished, and of what the successor had not even begun
    expect([...next.finished.keys()]).toEqual([16, 17, 18, 19]);
    expect(next.troubles).toEqual([]);
    await world[Symbol.asyncDispose]();
  });

  it("hand a job to another when who had it has died", async () => {
    await using world = await NatsWorld.open(server.url);
    const one = await NatsPlayer.open(server.url, "one", { play: () => new Promise(() => {}) });
    world.admit();
    await until("it has some", () => {
      world.admit();
      return one.holds.length === 4;
    });
    const had = one.holds;
    await one.die();
    await using two = await NatsPlayer.open(server.url, "two");
    await world.collect();
    world.commit();
    await until("they come from another", () =>
      had.every(({ groupId }) => two.given.some((job) => job.groupId === groupId)),
    );
  });

  it("leave a job to who is at work on it, however long that takes", async () => {
    await using world = await NatsWorld.open(server.url, { leaseMs: 300 });
    let finish = (): void => {};
    const finishing = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await using one = await NatsPlayer.open(server.url, "one", { play: () => finishing });
    await using two = await NatsPlayer.open(server.url, "two", { play: () => finishing });
    world.admit();
    await until("both have some", () => one.holds.length + two.holds.length === 8);
    const had = [...one.holds, ...two.holds].map(({ groupId }) => groupId);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const { jobs } = names;
    const info = await world.link.manager.consumers.info(jobs.stream, jobs.consumer);
    expect(info.num_redelivered).toBe(0);
    expect(new Set(had).size).toBe(8);
    finish();
    await world.collect();
  });

  it("push back when results find no room, and lose none", async () => {
    // a step needs four, and each is 16 KiB of noise
    await using world = await NatsWorld.open(server.url, { resultBytes: 120_000 });
    await using link = await NatsLink.open({ servers: [server.url], name: "one" });
    await using source = new NatsJobSource(link, { runId: RUN, name: "one" });
    const taking = source.take({ room: 16, holds: [] }, never);
    world.admit();
    const held = [...(await taking).jobs];
    while (held.length < 16) {
      const { jobs } = await source.take({ room: 16 - held.length, holds: held }, never);
      held.push(...jobs);
    }
    let given = 0;
    const give = async (): Promise<void> => {
      // the oldest first: those are what the leader waits for
      for (const job of held) {
        await source.give(encodedGroup(job, randomBytes(12_288).toString("base64")), never);
        given++;
      }
    };
    const giving = give();
    await until("it is full", async () => {
      const { state } = await world.link.manager.streams.info(names.results.stream);
      return state.bytes > 90_000;
    });
    await until("those are taken", () => world.finished.size === given && given > 0);
    expect(given).toBeLessThan(16);
    const used: number[] = [];
    for (let step = 0; step < 4; step++) {
      used.push(...(await world.collect()));
      world.commit();
    }
    await giving;
    expect(used.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
  });

  it("refuse a group that is larger than messages are", async () => {
    await using world = await NatsWorld.open(server.url);
    await using link = await NatsLink.open({ servers: [server.url], name: "one" });
    await using source = new NatsJobSource(link, { runId: RUN, name: "one" });
    const taking = source.take({ room: 1, holds: [] }, never);
    world.admit();
    const [job] = (await taking).jobs;
    if (!job) expect.fail("no job came");
    const large = encodedGroup(job, randomBytes(2 ** 20).toString("base64"));
    expect(await rejectionOf(source.give(large, never))).toBe("nats_refused");
  });

  it("call off what nobody wants any more", async () => {
    await using world = await NatsWorld.open(server.url);
    await using one = await NatsPlayer.open(server.url, "one", {
      play: () => new Promise(() => {}),
    });
    world.admit();
    await until("it has some", () => one.holds.length === 4);
    const [job] = one.holds;
    if (!job) expect.fail("it has none");
    world.board.cancel(job.groupId);
    await until("it has heard", () => one.cancelled.includes(job.groupId));
    // which makes room for another
    await until("it has one more", () => one.holds.some(({ groupId }) => groupId === 4));
    expect(await queued(world)).toBe(4);
  });

  it("take groups back when nobody plays, and when they are nowhere", async () => {
    await using world = await NatsWorld.open(server.url, { leaseMs: 300 });
    const one = await NatsPlayer.open(server.url, "one", { play: () => new Promise(() => {}) });
    world.admit();
    await until("it has some", () => one.holds.length === 4);
    await world.link.manager.streams.purge(names.jobs.stream);
    // by another attempt of the same groups
    await until("they are handed out again", () => one.holds.some(({ attempt }) => attempt > 4));
    await one.die();
    await until("nobody has any", () => world.board.stats.out === 0);
    expect(world.board.stats.capacity).toBe(0);
  });

  it("drop what cannot be used, and have the group played again", async () => {
    await using world = await NatsWorld.open(server.url);
    await using link = await NatsLink.open({ servers: [server.url], name: "one" });
    await using source = new NatsJobSource(link, { runId: RUN, name: "one" });
    const taking = source.take({ room: 1, holds: [] }, never);
    world.admit();
    const [job] = (await taking).jobs;
    if (!job) expect.fail("no job came");
    await source.give({ ...encodedGroup(job), taskId: "another" }, never);
    const again = await source.take({ room: 1, holds: [] }, never);
    expect(again.jobs[0]?.groupId).toBe(job.groupId);
    expect(again.jobs[0]?.attempt).toBeGreaterThan(job.attempt);
    expect(world.troubles.map((error) => (error as { code?: string }).code)).toEqual([
      "argument_invalid",
    ]);
    await until("nothing of it is left", async () => (await stored(world)) === 0);
  });

  it("survive a message that is none", async () => {
    await using world = await NatsWorld.open(server.url);
    await world.link.jetstream.publish(names.results.subject, "no result");
    await world.link.jetstream.publish(names.jobs.subject, "no job");
    world.link.connection.publish(names.players, "no player");
    await using _one = await NatsPlayer.open(server.url, "one");
    await world.collect();
    expect(world.troubles.length).toBe(2);
    await until("they are gone", async () => (await queued(world)) <= 4);
  });
});
