import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/pool/clock.ts";
import { DataPool, type DataPoolOptions } from "../../../src/pool/pool.ts";
import type { CompletionInput, GroupRecord, SessionStatus } from "../../../src/pool/record.ts";
import { Scheduler } from "../../../src/pool/scheduler.ts";
import { codeOf, errorOf, rejectionOf } from "../../support/errors.ts";

function request(requestIndex: number, change: Partial<CompletionInput> = {}): CompletionInput {
  return {
    requestIndex,
    promptIds: [1, 2, 3],
    responseIds: [4, 5],
    behaviorLogprobs: [-0.1, -2.5],
    policyVersions: [0, 1],
    sampling: { temperature: 1, topK: 0, topP: 1, minP: 0 },
    finishReason: "stop",
    submittedAt: 0,
    finishedAt: 1,
    ...change,
  };
}

function poolOf(options: Partial<DataPoolOptions> = {}) {
  const clock = new ManualClock();
  const finished: GroupRecord[] = [];
  const pool = new DataPool({
    capacityTokens: 1000,
    clock,
    onFinished: (group) => finished.push(group),
    ...options,
  });
  return { pool, clock, finished };
}

const outcome = (value: number) => ({ kind: "outcome", value }) as const;

describe("DataPool", () => {
  it("FEATURE 8: no session trains before its rewards are in; failures take no part", async () => {
    const { pool, finished } = poolOf();
    const ids = pool.open({ groupId: 0, taskId: "t", sessions: 5 });
    for (const id of ids) await pool.add(id, request(0));
    const [a, b, c, d, e] = ids as [string, string, string, string, string];
    pool.reward(d, outcome(1));
    pool.end(c, "infra_error");
    pool.end(d, "cancelled");
    pool.end(e, "agent_error");
    pool.end(a, "completed");
    pool.reward(a, outcome(1));
    expect([finished, codeOf(() => pool.take(0))]).toEqual([[], "state_conflict"]);
    pool.end(b, "truncated");
    expect(pool.unfinished).toEqual([0]);
    expect(pool.reward(b, outcome(0))).toBe(true);
    expect(finished.map((group) => group.isTrainable)).toEqual([true]);
    const group = pool.take(0);
    expect(group.sessions.map((s) => s.takesPart)).toEqual([true, true, false, false, false]);
    expect(group.sessions[1]?.rewards).toEqual([
      { requestIndex: null, kind: "outcome", name: "outcome", value: 0 },
    ]);
    expect([codeOf(() => pool.take(0)), pool.stats.tokens]).toEqual(["state_conflict", 0]);
  });

  it("FEATURE 8: waits for every reward it was told of, under its name", async () => {
    const { pool, finished } = poolOf();
    const [id] = pool.open({ groupId: 3, taskId: "t", sessions: 1, awaits: ["tests", "style"] });
    await pool.add(id as string, request(0));
    pool.end(id as string, "completed");
    pool.reward(id as string, { ...outcome(1), name: "tests" });
    pool.reward(id as string, { kind: "process", requestIndex: 0, value: -0 });
    expect(finished).toEqual([]);
    pool.reward(id as string, { kind: "process", requestIndex: 0, name: "style", value: 0.5 });
    expect(finished.length).toBe(1);
  });

  it("FEATURE 11: a deadline makes a tombstone, and the scheduler's head goes on", async () => {
    const scheduler = new Scheduler({ slots: 2, groups: 2 });
    const { pool, clock, finished } = poolOf({
      onFinished: ({ groupId, isTrainable }) =>
        isTrainable ? scheduler.finish(groupId) : scheduler.bury(groupId),
    });
    for (let t = scheduler.admit(); t; t = scheduler.admit())
      pool.open({ groupId: t.id, taskId: "t", sessions: 1, deadline: 10 + t.id });
    await pool.add("0-0", request(0));
    await pool.add("1-0", request(0));
    pool.end("1-0", "completed");
    pool.reward("1-0", outcome(1));
    const taken = scheduler.whenTaken();
    clock.advanceTo(9);
    expect([scheduler.head, pool.unfinished]).toEqual([0, [0]]);
    clock.advanceTo(10);
    expect([(await taken)?.id, scheduler.consumed]).toEqual([1, 2]);
    expect(pool.take(1).sessions[0]?.takesPart).toBe(true);
    expect([pool.stats.groups, finished]).toEqual([0, []]);
    // what comes after the deadline is late, not wrong, and changes nothing
    expect([pool.reward("0-0", outcome(1)), pool.stats.lateRewards]).toEqual([false, 1]);
    expect(await rejectionOf(pool.add("0-0", request(1)))).toBe("state_conflict");
  });

  it("never makes a 0 of a reward that did not come by the deadline", async () => {
    const { pool, clock, finished } = poolOf();
    pool.open({ groupId: 0, taskId: "t", sessions: 2, awaits: ["a", "b"], deadline: 5 });
    for (const id of ["0-0", "0-1"]) {
      await pool.add(id, request(0));
      pool.end(id, "completed");
    }
    pool.reward("0-0", { ...outcome(1), name: "a" });
    clock.advanceTo(5);
    expect(finished[0]?.sessions.map((s) => [s.takesPart, s.rewards.length])).toEqual([
      [true, 1],
      [false, 0],
    ]);
    expect([pool.reward("0-0", { ...outcome(1), name: "b" }), pool.stats.lateRewards]).toEqual([
      false,
      1,
    ]);
    expect(pool.take(0).sessions[0]?.rewards.length).toBe(1);
  });

  it("counts a reward that is posted twice once, and refuses another value", () => {
    const { pool } = poolOf();
    pool.open({ groupId: 0, taskId: "t", sessions: 1 });
    expect([pool.reward("0-0", outcome(1)), pool.reward("0-0", outcome(1))]).toEqual([true, true]);
    expect(codeOf(() => pool.reward("0-0", outcome(0)))).toBe("state_conflict");
    expect(pool.snapshot().groups[0]?.sessions[0]?.rewards.length).toBe(1);
  });

  it("refuses sessions that it does not know, and what comes after an end", async () => {
    const { pool } = poolOf();
    pool.open({ groupId: 0, taskId: "t", sessions: 1 });
    for (const id of ["0-1", "1-0", "0-00", "x", ""]) {
      expect(
        codeOf(() => pool.reward(id, outcome(1))),
        id,
      ).toBe("argument_invalid");
      expect(
        codeOf(() => pool.end(id, "completed")),
        id,
      ).toBe("argument_invalid");
      expect(await rejectionOf(pool.add(id, request(0))), id).toBe("argument_invalid");
    }
    expect(codeOf(() => pool.open({ groupId: 0, taskId: "t", sessions: 1 }))).toBe(
      "argument_invalid",
    );
    pool.end("0-0", "completed");
    expect(codeOf(() => pool.end("0-0", "completed"))).toBe("state_conflict");
    expect(await rejectionOf(pool.add("0-0", request(0)))).toBe("state_conflict");
  });

  it("names the field that cannot be used, and copies what it keeps", async () => {
    const { pool } = poolOf();
    const [id = ""] = pool.open({ groupId: 0, taskId: "t", sessions: 1 });
    const bad: [string, Partial<CompletionInput>][] = [
      ["requestIndex", { requestIndex: -1 }],
      ["parent", { parent: 7 }],
      ["promptIds", { promptIds: [] }],
      ["promptIds", { promptIds: [2 ** 32] }],
      ["responseIds", { responseIds: [1.5, 2] }],
      ["behaviorLogprobs", { behaviorLogprobs: [-1] }],
      ["behaviorLogprobs", { behaviorLogprobs: [-1, Number.NaN] }],
      ["behaviorLogprobs", { behaviorLogprobs: [-1, -1e300] }],
      ["policyVersions", { policyVersions: [2, 1] }],
      ["finishedAt", { submittedAt: 2 }],
      ["role", { role: "" }],
    ];
    for (const [field, change] of bad)
      expect((await errorOf(pool.add(id, request(0, change)))).message).toContain(`"${field}"`);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(codeOf(() => pool.reward(id, outcome(value)))).toBe("non_finite");
    expect(codeOf(() => pool.reward(id, { ...outcome(1), requestIndex: 0 }))).toBe(
      "argument_invalid",
    );
    const promptIds = Uint32Array.of(8, 9);
    await pool.add(id, request(0, { promptIds }));
    promptIds.fill(0);
    await pool.add(id, request(1, { parent: 0, role: "critic" }));
    expect(await rejectionOf(pool.add(id, request(1)))).toBe("argument_invalid");
    pool.end(id, "completed");
    pool.reward(id, outcome(1));
    const [first, second] = pool.take(0).sessions[0]?.completions ?? [];
    expect(first?.promptIds).toEqual(Uint32Array.of(8, 9));
    expect([first?.role, second?.role, second?.parent]).toEqual(["main", "critic", 0]);
    expect(first?.behaviorLogprobs).toEqual(Float32Array.of(-0.1, -2.5));
  });

  it("holds back thousands of producers, loses none and lets the oldest group through", async () => {
    const { pool, finished } = poolOf({ capacityTokens: 100 });
    const [groups, perGroup] = [40, 75];
    const adds: Promise<void>[] = [];
    for (let g = 0; g < groups; g++) pool.open({ groupId: g, taskId: "t", sessions: perGroup });
    let most = 0;
    for (let g = groups - 1; g >= 0; g--)
      for (let s = 0; s < perGroup; s++) {
        const id = `${g}-${s}`;
        const add = pool.add(id, request(0)).then(() => {
          most = Math.max(most, pool.stats.tokens);
          pool.reward(id, outcome(s));
          pool.end(id, "completed");
        });
        adds.push(add);
      }
    expect(pool.stats.waiting).toBe(groups * perGroup - 20 - perGroup);
    for (let g = 0; g < groups; g++) {
      while (!finished[g]) await Promise.resolve();
      const { sessions } = pool.take(finished[g]?.groupId as number);
      expect(sessions.every((s) => s.completions.length === 1)).toBe(true);
    }
    await Promise.all(adds);
    // the capacity, and the oldest group beyond it
    expect(most).toBeLessThanOrEqual(100 + 5 * perGroup);
    expect(pool.stats).toEqual({ groups: 0, tokens: 0, waiting: 0, lateRewards: 0 });
  });

  it("keeps a copy of what is told of a session at its end, in checkpoints too", async () => {
    const { pool } = poolOf();
    const ids = pool.open({ groupId: 0, taskId: "t", sessions: 3 });
    for (const id of ids) await pool.add(id, request(0));
    const calls = [{ name: "add", ms: 2 }];
    pool.end("0-0", "completed", { calls });
    pool.end("0-1", "agent_error");
    calls.length = 0;
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    for (const details of [cyclic, { count: 1n }, () => 0])
      expect(codeOf(() => pool.end("0-2", "completed", details))).toBe("argument_invalid");
    const text = JSON.stringify(pool.snapshot());
    const clock = new ManualClock();
    const again = DataPool.restore({ capacityTokens: 99, clock }, JSON.parse(text));
    expect(JSON.stringify(again.snapshot())).toBe(text);
    for (const one of [pool, again]) {
      one.end("0-2", "completed", "told");
      for (const id of ["0-0", "0-2"]) one.reward(id, outcome(1));
      const told = one.take(0).sessions.map(({ details }) => details);
      expect(told).toEqual([{ calls: [{ name: "add", ms: 2 }] }, null, "told"]);
    }
  });

  it("settles no session whose completions wait; refuses those of one that is cancelled", async () => {
    const { pool, clock, finished } = poolOf({ capacityTokens: 5 });
    pool.open({ groupId: 0, taskId: "t", sessions: 1 });
    pool.open({ groupId: 1, taskId: "t", sessions: 2, deadline: 50 });
    await pool.add("0-0", request(0));
    const controller = new AbortController();
    const aborted = rejectOrValue(pool.add("1-0", request(0), controller.signal));
    const kept = pool.add("1-0", request(1));
    const cancelled = rejectionOf(pool.add("1-1", request(0)));
    controller.abort(new Error("enough"));
    pool.reward("1-0", outcome(1));
    pool.end("1-0", "completed");
    pool.end("1-1", "cancelled");
    expect([await cancelled, await aborted]).toEqual(["state_conflict", "enough"]);
    expect(finished).toEqual([]);
    expect(pool.snapshot().groups[1]?.sessions.map((s) => s.status)).toEqual([null, "cancelled"]);
    pool.end("0-0", "infra_error");
    await kept;
    expect(finished.map((group) => group.groupId)).toEqual([0, 1]);
    expect(finished[1]?.sessions[0]?.completions.map((c) => c.requestIndex)).toEqual([1]);
    clock.advanceTo(60);
    expect(finished.length).toBe(2);
  });

  it("begins an unfinished group again after a restore, with what is left of deadlines", async () => {
    const { pool, clock } = poolOf();
    pool.open({ groupId: 0, taskId: "t", sessions: 1, deadline: 10 });
    clock.advanceTo(4);
    await pool.add("0-0", request(0));
    const later = new ManualClock(1000);
    const finished: GroupRecord[] = [];
    const again = DataPool.restore(
      { capacityTokens: 1000, clock: later, onFinished: (group) => finished.push(group) },
      JSON.parse(JSON.stringify(pool.snapshot())),
    );
    later.advanceTo(1005);
    expect([again.unfinished, again.stats.tokens]).toEqual([[0], 5]);
    expect(again.restart(0, 1020)).toEqual(["0-0"]);
    expect(again.stats.tokens).toBe(0);
    later.advanceTo(1019);
    expect(finished.length).toBe(0);
    later.advanceTo(1020);
    expect(finished.map((group) => group.isTrainable)).toEqual([false]);
    expect(codeOf(() => again.restart(0))).toBe("state_conflict");
  });

  it("goes on from a checkpoint bit for bit", async () => {
    const act = fc.record({
      kind: fc.nat(5),
      at: fc.nat(11),
      value: fc.double({ noNaN: true, min: -9, max: 9 }),
    });
    const statuses: SessionStatus[] = ["completed", "completed", "truncated", "infra_error"];
    const play = async (
      pool: DataPool,
      clock: ManualClock,
      acts: { kind: number; at: number; value: number }[],
    ) => {
      const seen: unknown[] = [];
      for (const { kind, at, value } of acts) {
        const id = `${at >> 1}-${at & 1}`;
        try {
          if (kind < 2)
            await pool.add(id, request(at + 20 * kind, { behaviorLogprobs: [value, value / 3] }));
          else if (kind === 2) seen.push(pool.reward(id, outcome(value)));
          else if (kind === 3) pool.end(id, statuses[at % 4] as SessionStatus);
          else if (kind === 4) clock.advanceTo(clock.now() + Math.abs(value));
          else seen.push(pool.take(at >> 1));
        } catch (error) {
          seen.push((error as Error).message);
        }
      }
      return seen;
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { maxLength: 40 }),
        fc.array(act, { maxLength: 40 }),
        async (before, after) => {
          const { pool, clock } = poolOf();
          for (let g = 0; g < 6; g++)
            pool.open({ groupId: g, taskId: `t${g}`, sessions: 2, deadline: 10 * g + 5 });
          await play(pool, clock, before);
          const text = JSON.stringify(pool.snapshot());
          const other = new ManualClock(clock.now());
          const again = DataPool.restore({ capacityTokens: 1000, clock: other }, JSON.parse(text));
          expect(JSON.stringify(again.snapshot())).toBe(text);
          expect(await play(again, other, after)).toEqual(await play(pool, clock, after));
          expect(again.snapshot()).toEqual(pool.snapshot());
          expect(again.stats).toEqual(pool.stats);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("refuses damaged checkpoints", async () => {
    const { pool } = poolOf();
    pool.open({ groupId: 0, taskId: "t", sessions: 1 });
    await pool.add("0-0", request(0));
    const text = JSON.stringify(pool.snapshot());
    const damages: [string, string][] = [
      ['"format":1', '"format":2'],
      ['"sessions":[', '"sessions":[],"x":['],
      ['"status":null', '"status":"lost"'],
      ['"behaviorLogprobs":"', '"behaviorLogprobs":"AAAA'],
      ['"responseIds"', '"ids"'],
    ];
    for (const [from, to] of damages) {
      const damaged = JSON.parse(text.replace(from, to));
      const restore = () =>
        DataPool.restore({ capacityTokens: 9, clock: new ManualClock() }, damaged);
      expect(codeOf(restore), to).toBe("checkpoint_invalid");
    }
  });
});

function rejectOrValue(promise: Promise<void>): Promise<string> {
  return errorOf(promise).then((error) => error.message);
}
