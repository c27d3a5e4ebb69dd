/** Groups that were played elsewhere, and deadlines that are set later. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/pool/clock.ts";
import { DataPool } from "../../../src/pool/pool.ts";
import type { GroupRecord } from "../../../src/pool/record.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { playedRequest, playedSession } from "../../support/played-group.ts";

function poolOf(capacityTokens = 1000) {
  const clock = new ManualClock();
  const finished: GroupRecord[] = [];
  const onFinished = (group: GroupRecord): void => void finished.push(group);
  const pool = new DataPool({ capacityTokens, clock, onFinished });
  pool.open({ groupId: 0, taskId: "t", sessions: 2, awaits: ["success"] });
  return { pool, clock, finished };
}

describe("DataPool.adopt", () => {
  it("finishes a group with what was played elsewhere, with the times of there", () => {
    const { pool, clock, finished } = poolOf();
    clock.advanceTo(100);
    const failed = playedSession({ status: "infra_error", completions: [], rewards: [] });
    pool.adopt(0, [playedSession(), failed]);
    const [group] = finished as [GroupRecord];
    expect(group.sessions.map(({ takesPart }) => takesPart)).toEqual([true, false]);
    expect(group.sessions[0]).toMatchObject({ startedAt: 0, endedAt: 3, sessionId: "0-0" });
    expect(pool.take(0)).toBe(group);
    expect(pool.stats).toEqual({ groups: 0, tokens: 0, waiting: 0, lateRewards: 0 });
  });

  it("settles a session without its rewards too: they will not come", () => {
    const { pool, finished } = poolOf();
    pool.adopt(0, [playedSession(), playedSession({ rewards: [] })]);
    expect(finished[0]?.sessions.map(({ takesPart }) => takesPart)).toEqual([true, false]);
  });

  it("is finished in a pool that is restored too", () => {
    const { pool, clock, finished } = poolOf();
    pool.adopt(0, [playedSession(), playedSession({ rewards: [] })]);
    const snapshot = JSON.parse(JSON.stringify(pool.snapshot()));
    const again = DataPool.restore({ capacityTokens: 1000, clock }, snapshot);
    expect(again.unfinished).toEqual([]);
    expect(again.take(0)).toEqual(finished[0]);
  });

  it("puts it in the place of what was handed in here, also where that waits for room", async () => {
    const { pool, finished } = poolOf(6);
    pool.open({ groupId: 1, taskId: "t", sessions: 1, awaits: ["success"] });
    await pool.add("0-0", playedRequest());
    const waiting = pool.add("1-0", playedRequest());
    expect(pool.stats).toMatchObject({ tokens: 5, waiting: 1 });
    pool.adopt(1, [playedSession()]);
    expect(await rejectionOf(waiting)).toBe("state_conflict");
    expect(pool.stats).toMatchObject({ tokens: 10, waiting: 0 });
    pool.adopt(0, [playedSession(), playedSession()]);
    expect(finished.map(({ groupId }) => groupId)).toEqual([1, 0]);
    expect(pool.stats.tokens).toBe(15);
    // who comes too late here is told so, and changes nothing
    expect(pool.reward("0-0", { kind: "outcome", name: "success", value: 0 })).toBe(false);
    expect(codeOf(() => pool.end("0-0", "completed"))).toBe("state_conflict");
    for (const { groupId } of finished) pool.take(groupId);
    expect(pool.stats.tokens).toBe(0);
  });

  it("takes nothing for a group that is finished, or not there", () => {
    const { pool } = poolOf();
    const sessions = [playedSession(), playedSession()];
    expect(codeOf(() => pool.adopt(1, sessions))).toBe("state_conflict");
    pool.adopt(0, sessions);
    expect(codeOf(() => pool.adopt(0, sessions))).toBe("state_conflict");
  });

  it.each([
    ["argument_invalid", playedSession({ completions: [playedRequest({ promptIds: [] })] })],
    ["non_finite", playedSession({ startedAt: Number.NaN })],
    ["non_finite", playedSession({ endedAt: Number.POSITIVE_INFINITY })],
    ["state_conflict", playedSession({ rewards: [success(1), success(0)] })],
  ] as const)("takes all of it or nothing: %s", async (code, second) => {
    const { pool, finished } = poolOf();
    await pool.add("0-1", playedRequest());
    expect(codeOf(() => pool.adopt(0, [playedSession(), second]))).toBe(code);
    expect([pool.unfinished, pool.stats.tokens, finished]).toEqual([[0], 5, []]);
    pool.end("0-0", "cancelled");
    pool.reward("0-1", success(1));
    pool.end("0-1", "completed");
    expect(finished[0]?.sessions[1]?.completions).toHaveLength(1);
  });
});

function success(value: number) {
  return { kind: "outcome", name: "success", value } as const;
}

describe("DataPool.limit", () => {
  it("sets a deadline in the place of the one before", () => {
    const { pool, clock, finished } = poolOf();
    pool.limit(0, 10);
    pool.limit(0, 20);
    clock.advanceTo(19);
    expect(finished).toEqual([]);
    clock.advanceTo(20);
    expect(finished[0]?.sessions[0]?.status).toBe("cancelled");
    expect(codeOf(() => pool.limit(0, 30))).toBe("state_conflict");
  });

  it("is forgotten where the group begins again, and kept in a snapshot", () => {
    const { pool, clock, finished } = poolOf();
    pool.limit(0, 10);
    expect(pool.snapshot().groups[0]?.deadline).toBe(10);
    pool.restart(0);
    clock.advanceTo(99);
    expect(finished).toEqual([]);
    expect(codeOf(() => pool.limit(0, Number.NaN))).toBe("argument_invalid");
  });
});
