import { describe, expect, it } from "vitest";
import type { Taken } from "../../../src/train/cluster/job-source.ts";
import type { Job } from "../../../src/train/episode/dispatcher.ts";
import { CollectingWorld, LEASE, settled } from "../../support/collecting-world.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";
import { playedGroup, playedRequest, playedSession } from "../../support/played-group.ts";

function worldOf(slots: number): CollectingWorld {
  return new CollectingWorld({ slots, groupsPerStep: 1, window: "strict" });
}

const groupsOf = ({ jobs }: Taken): number[] => jobs.map(({ groupId }) => groupId);
const first = ({ jobs }: Taken): Job => jobs[0] as Job;

describe("JobBoard", () => {
  it("hands groups to whoever has most room, whole, the oldest first; the rest waits", async () => {
    const { board, collector } = worldOf(6);
    const a = board.take("a", { room: 2, holds: [] });
    const b = board.take("b", { room: 3, holds: [] });
    collector.admit();
    // 3 and 2, 2 and 2, then in turn
    expect(groupsOf(await b)).toEqual([0, 2, 4]);
    expect(groupsOf(await a)).toEqual([1, 3]);
    expect(board.stats).toEqual({
      out: 5,
      players: [
        { name: "a", isHere: true, out: 2, played: 0, lost: 0 },
        { name: "b", isHere: true, out: 3, played: 0, lost: 0 },
      ],
    });
    expect(groupsOf(await board.take("c", { room: 9, holds: [] }))).toEqual([5]);
  });

  it("says what version the weights must have, and counts hand-outs", async () => {
    const { board, collector, scheduler } = worldOf(1);
    collector.admit();
    const job = first(await board.take("a", { room: 1, holds: [] }));
    expect(job).toEqual({ groupId: 0, attempt: 1, version: 0 });
    board.give("a", playedGroup(job));
    scheduler.take();
    scheduler.stepped();
    collector.admit();
    const next = first(await board.take("a", { room: 1, holds: [] }));
    expect(next).toEqual({ groupId: 1, attempt: 2, version: 1 });
  });

  it("answers with nothing after a third of a lease, and hands out nothing to who does not ask", async () => {
    const { board, collector, clock } = worldOf(1);
    let answer: Taken | undefined;
    void board.take("a", { room: 1, holds: [] }).then((taken) => {
      answer = taken;
    });
    clock.advanceTo(LEASE / 3 - 1);
    await settled();
    expect(answer).toBeUndefined();
    clock.advanceTo(LEASE / 3);
    await settled();
    expect(answer).toEqual({ jobs: [], cancelled: [] });
    collector.admit();
    expect(board.stats.out).toBe(0);
  });

  it("hands out nothing to a question that was called off", async () => {
    const { board, collector } = worldOf(1);
    const abort = new AbortController();
    const asked = board.take("a", { room: 1, holds: [] }, abort.signal);
    abort.abort(new Error("gone"));
    collector.admit();
    expect(board.stats.out).toBe(0);
    expect((await errorOf(asked)).message).toBe("gone");
    expect((await errorOf(board.take("a", { room: 1, holds: [] }, abort.signal))).message).toBe(
      "gone",
    );
  });

  it("tells again what a player does not have, since the answer was lost; it has room for less", async () => {
    const { board, collector } = worldOf(3);
    collector.admit();
    const { jobs } = await board.take("a", { room: 2, holds: [] });
    expect(await board.take("a", { room: 2, holds: [] })).toEqual({ jobs, cancelled: [] });
    const [held] = jobs as [Job];
    const again = await board.take("a", { room: 1, holds: [held] });
    expect(again).toEqual({ jobs: jobs.slice(1), cancelled: [] });
    expect(groupsOf(await board.take("a", { room: 1, holds: jobs }))).toEqual([2]);
  });

  it("takes groups back from who says nothing for a lease, and not from who trains", async () => {
    const { board, collector, pass } = bound(worldOf(2));
    collector.admit();
    const a = first(await board.take("a", { room: 1, holds: [] }));
    const b = first(await board.take("b", { room: 1, holds: [] }));
    await pass(LEASE - 1);
    board.alive("b");
    await pass(1);
    const taken = await board.take("c", { room: 2, holds: [] });
    expect(taken.jobs).toEqual([{ ...a, attempt: 3 }]);
    await pass(LEASE - 2);
    expect(board.stats.players).toMatchObject([
      { name: "a", isHere: false, out: 0, lost: 1 },
      { name: "b", isHere: true, out: 1, lost: 0 },
      { name: "c", isHere: true, out: 1, lost: 0 },
    ]);
    expect(board.give("b", playedGroup(b))).toBe("taken");
  });

  it("takes groups back at once from who is gone, and takes what it brings nevertheless", async () => {
    const { board, collector, pass } = bound(worldOf(2));
    collector.admit();
    const a = first(await board.take("a", { room: 1, holds: [] }));
    const b = first(await board.take("b", { room: 1, holds: [] }));
    for (const name of ["a", "b", "a", "nobody"]) board.gone(name);
    expect(board.stats.players).toMatchObject([
      { name: "a", isHere: false, out: 0, lost: 1 },
      { name: "b", isHere: false, out: 0, lost: 1 },
    ]);
    const again = await board.take("c", { room: 2, holds: [] });
    expect(groupsOf(again)).toEqual([a.groupId, b.groupId]);
    expect(board.give("a", playedGroup(a))).toBe("taken");
    expect(board.give("c", playedGroup(first(again)))).toBe("unwanted");
    // its lease ends without it
    await pass(LEASE - 1);
    expect(board.stats.players[0]).toMatchObject({ isHere: true, lost: 1 });
  });

  it("takes the first result of a group, late or not, and calls the others off", async () => {
    const { board, collector, pass, pool } = bound(worldOf(1));
    collector.admit();
    const late = first(await board.take("a", { room: 1, holds: [] }));
    await pass(LEASE);
    const second = first(await board.take("b", { room: 1, holds: [] }));
    expect(second).toMatchObject({ groupId: 0, attempt: 2 });
    const waiting = board.take("b", { room: 0, holds: [second] });
    expect(board.give("a", playedGroup(late))).toBe("taken");
    expect(await waiting).toEqual({ jobs: [], cancelled: [0] });
    expect(board.give("b", playedGroup(second))).toBe("unwanted");
    expect(board.give("a", playedGroup(late))).toBe("unwanted");
    expect(pool.take(0).sessions[0]?.rewards[0]?.value).toBe(1);
    expect(board.stats).toMatchObject({ out: 0, players: [{ played: 1, lost: 1 }, { played: 0 }] });
  });

  it("takes a late result of a group that waits for somebody, which then waits no more", async () => {
    const { board, collector, pass } = bound(worldOf(1));
    collector.admit();
    const late = first(await board.take("a", { room: 1, holds: [] }));
    await pass(LEASE);
    expect(board.give("a", playedGroup(late))).toBe("taken");
    const asked = board.take("b", { room: 1, holds: [] });
    await pass(LEASE / 3);
    expect(await asked).toEqual({ jobs: [], cancelled: [] });
  });

  it("tells who comes back after its lease to give up what is not its any more", async () => {
    const { board, collector, pass } = bound(worldOf(1));
    collector.admit();
    const job = first(await board.take("a", { room: 1, holds: [] }));
    await pass(LEASE);
    expect(await board.take("b", { room: 1, holds: [] })).toMatchObject({ jobs: [{ groupId: 0 }] });
    expect(board.stats.players[0]).toMatchObject({ name: "a", isHere: false });
    expect(await board.take("a", { room: 0, holds: [job] })).toEqual({ jobs: [], cancelled: [0] });
    expect(board.stats.players[0]).toMatchObject({ name: "a", isHere: true });
  });

  it("hands the oldest out first also where it was taken back, and each once", async () => {
    const { board, collector, pass } = bound(worldOf(2));
    collector.admit();
    expect(groupsOf(await board.take("a", { room: 1, holds: [] }))).toEqual([0]);
    await pass(LEASE);
    // nobody has them
    for (const groupId of [0, 1, 7]) collector.takeBack(groupId);
    expect(groupsOf(await board.take("b", { room: 1, holds: [] }))).toEqual([0]);
    expect(groupsOf(await board.take("c", { room: 9, holds: [] }))).toEqual([1]);
  });

  it("hands nothing to who was lost while its question was open", async () => {
    const { board, collector, clock } = worldOf(1);
    collector.admit();
    const job = first(await board.take("a", { room: 1, holds: [] }));
    const asked = board.take("a", { room: 1, holds: [job] });
    // a process that was stopped: all that was due comes at once
    clock.advanceTo(LEASE);
    expect(board.stats).toMatchObject({ out: 0, players: [{ isHere: false, lost: 1 }] });
    expect(await asked).toEqual({ jobs: [], cancelled: [0] });
  });

  it("lets who gives a bad result of an earlier hand-out go on with the later one", async () => {
    const { board, collector, pass } = bound(worldOf(1));
    collector.admit();
    const early = first(await board.take("a", { room: 1, holds: [] }));
    await pass(LEASE);
    const later = first(await board.take("a", { room: 1, holds: [] }));
    const bad = playedGroup(early, { taskId: "task 1" });
    expect(codeOf(() => board.give("a", bad))).toBe("argument_invalid");
    expect(board.stats).toMatchObject({ out: 1, players: [{ out: 1, lost: 1 }] });
    expect(board.give("a", playedGroup(later))).toBe("taken");
  });

  it("calls groups off whose time is over, and wants nothing of them", async () => {
    const world = new CollectingWorld({ slots: 1, window: "strict" }, LEASE / 6);
    const { board, collector, buried } = world;
    collector.admit();
    // it counts from the hand-out on, twice: who plays it has the first half
    await world.pass(LEASE);
    const job = first(await board.take("a", { room: 1, holds: [] }));
    const asked = board.take("a", { room: 0, holds: [job] });
    await world.pass(LEASE / 3 - 1);
    expect(buried).toEqual([]);
    await world.pass(1);
    expect(buried).toEqual([0]);
    expect(await asked).toEqual({ jobs: [], cancelled: [0] });
    expect(board.give("a", playedGroup(job))).toBe("unwanted");
  });

  it("wants nothing that was handed out before the run began its groups again", async () => {
    const { board, collector } = worldOf(1);
    collector.admit();
    const before = first(await board.take("a", { room: 1, holds: [] }));
    await collector.restart(async () => {});
    expect(board.give("a", playedGroup(before))).toBe("unwanted");
    const after = await board.take("a", { room: 1, holds: [before] });
    expect(after).toEqual({ jobs: [{ ...before, attempt: 2 }], cancelled: [0] });
    expect(board.give("a", playedGroup(before))).toBe("unwanted");
    expect(board.give("a", playedGroup(first(after)))).toBe("taken");
  });

  it.each([
    ["another task", { taskId: "task 1" }],
    ["too few sessions", { sessions: [playedSession()] }],
    ["a request twice", twice({ completions: [playedRequest(), playedRequest()] })],
    ["a request that follows none", twice({ completions: [playedRequest({ parent: 7 })] })],
    ["a reward of no request", rewarded({ kind: "process", name: "x", requestIndex: 3, value: 1 })],
    ["no time", twice({ endedAt: -1 })],
    ["an agent's own status", twice({ status: "superb" as "completed" })],
  ] as const)("refuses %s, and has the group played again", async (_, change) => {
    const { board, collector, pool, buried } = worldOf(1);
    collector.admit();
    const job = first(await board.take("a", { room: 1, holds: [] }));
    expect(codeOf(() => board.give("a", playedGroup(job, change)))).toBe("argument_invalid");
    expect([pool.unfinished, pool.stats.tokens, buried]).toEqual([[0], 0, []]);
    expect(board.stats).toMatchObject({ out: 0, players: [{ played: 0, lost: 1 }] });
    const again = first(await board.take("a", { room: 1, holds: [] }));
    expect(board.give("a", playedGroup(again))).toBe("taken");
  });

  it("refuses what older weights have sampled than were asked for", async () => {
    const { board, collector, scheduler } = worldOf(1);
    collector.admit();
    board.give("a", playedGroup(first(await board.take("a", { room: 1, holds: [] }))));
    scheduler.take();
    scheduler.stepped();
    collector.admit();
    const job = first(await board.take("a", { room: 1, holds: [] }));
    const old = playedGroup({ ...job, version: 0 });
    expect(codeOf(() => board.give("a", old))).toBe("argument_invalid");
  });

  it("has one question of a player at a time: two of one name hear of it", async () => {
    const { board, collector } = worldOf(1);
    const earlier = board.take("a", { room: 1, holds: [] });
    const later = board.take("a", { room: 1, holds: [] });
    expect(await rejectionOf(earlier)).toBe("state_conflict");
    collector.admit();
    expect(groupsOf(await later)).toEqual([0]);
  });

  it("remembers the figures of a thousand players that have gone, not of all", async () => {
    const { board, pass } = bound(worldOf(1));
    for (let n = 0; n < 1500; n++) board.alive(`player ${n}`);
    expect(board.stats.players).toHaveLength(1500);
    await pass(LEASE);
    for (let n = 0; n < 600; n++) board.alive("new");
    expect(board.stats.players).toHaveLength(1024);
    expect(board.stats.players).toContainEqual(
      expect.objectContaining({ name: "new", isHere: true }),
    );
  });

  it("leaves nobody waiting and no alarm when it is disposed of", async () => {
    const { board, clock } = worldOf(1);
    const asked = board.take("a", { room: 1, holds: [] });
    board[Symbol.dispose]();
    expect(await asked).toEqual({ jobs: [], cancelled: [] });
    clock.advanceTo(10 * LEASE);
    expect(board.stats.players).toMatchObject([{ isHere: true }]);
  });
});

function bound(world: CollectingWorld) {
  const { board, collector, pool } = world;
  return { board, collector, pool, pass: (time: number) => world.pass(time) };
}

function twice(change: Parameters<typeof playedSession>[0]) {
  return { sessions: [playedSession(), playedSession(change)] };
}

function rewarded(reward: ReturnType<typeof playedSession>["rewards"][number]) {
  return twice({ rewards: [...playedSession().rewards, reward] });
}
