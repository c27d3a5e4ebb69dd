import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/pool/clock.ts";
import { DataPool } from "../../../src/pool/pool.ts";
import { type GroupRecord, STATUSES } from "../../../src/pool/record.ts";
import { readTaken, readTakeRequest } from "../../../src/train/cluster/job-source.ts";
import {
  decodePlayedGroup,
  type EncodedGroup,
  encodePlayedGroup,
} from "../../../src/train/cluster/played-group.ts";
import { codeOf } from "../../support/errors.ts";
import { throughJson } from "../../support/job-source.ts";

const id = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** JSON has no −0, and neither have clocks. */
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0);
const logprob = fc.float({ noNaN: true, noDefaultInfinity: true });
const name = fc.string({ minLength: 1, unit: "grapheme" });

const request = fc.record({
  role: name,
  parent: fc.nat(),
  promptIds: fc.array(id, { minLength: 1, maxLength: 40 }),
  response: fc.array(fc.tuple(id, logprob), { maxLength: 40 }),
  versions: fc.tuple(fc.nat(), fc.nat()),
  sampling: fc.record({ temperature: number, topK: number, topP: number, minP: number }),
  finishReason: name,
  times: fc.tuple(number, number),
  reward: fc.option(number),
});

const session = fc.record({
  status: fc.constantFrom(...STATUSES),
  requests: fc.array(request, { maxLength: 4 }),
  outcome: fc.option(number),
  details: fc.jsonValue(),
});

type Played = typeof session extends fc.Arbitrary<infer T> ? T : never;

/** What a pool makes of sessions at its deadline, where not all rewards are in. */
async function recordOf(sessions: readonly Played[]): Promise<GroupRecord> {
  const clock = new ManualClock(1000.25);
  let record: GroupRecord | undefined;
  const onFinished = (group: GroupRecord): void => {
    record = group;
  };
  const pool = new DataPool({ capacityTokens: 1, clock, onFinished });
  const ids = pool.open({
    ...{ groupId: 7, taskId: "7", sessions: sessions.length, awaits: ["success"] },
    deadline: 1010.5,
  });
  for (const [i, { status, requests, outcome, details }] of sessions.entries()) {
    const sessionId = ids[i] as string;
    for (const [requestIndex, given] of requests.entries()) {
      const { versions, times, reward, response, parent, ...rest } = given;
      const [first, last] = versions.sort((a, b) => a - b) as [number, number];
      const [submittedAt, finishedAt] = times.sort((a, b) => a - b) as [number, number];
      await pool.add(sessionId, {
        ...{ ...rest, requestIndex, submittedAt, finishedAt, policyVersions: [first, last] },
        parent: requestIndex === 0 ? null : parent % requestIndex,
        responseIds: response.map(([token]) => token),
        behaviorLogprobs: response.map(([, value]) => value),
      });
      if (reward !== null)
        pool.reward(sessionId, { kind: "process", name: "x", requestIndex, value: reward });
    }
    if (outcome !== null)
      pool.reward(sessionId, { kind: "outcome", name: "success", value: outcome });
    clock.advanceTo(clock.now() + 0.5);
    // the last is cut off by the deadline
    if (i < sessions.length - 1) pool.end(sessionId, status, details);
  }
  clock.advanceTo(1010.5);
  return record as GroupRecord;
}

/** What another pool makes of it. */
function adopted(encoded: unknown, sessions: number): GroupRecord {
  let record: GroupRecord | undefined;
  const pool = new DataPool({
    ...{ capacityTokens: 1, clock: new ManualClock(-5) },
    onFinished: (group) => {
      record = group;
    },
  });
  pool.open({ groupId: 7, taskId: "7", sessions, awaits: ["success"] });
  pool.adopt(7, decodePlayedGroup(encoded).sessions);
  return record as GroupRecord;
}

/** A group of one session with a request, as it is sent. */
async function sent(): Promise<EncodedGroup> {
  const record = await recordOf([
    {
      status: "completed",
      requests: [
        {
          ...{ role: "main", parent: 0, promptIds: [1], response: [[2, -0.5]] as const },
          ...{ versions: [3, 3] as const, finishReason: "stop", times: [0, 1] as const, reward: 1 },
          sampling: { temperature: 1, topK: 0, topP: 1, minP: 0 },
        },
      ],
      outcome: 1,
      details: null,
    },
  ] as unknown as Played[]);
  return encodePlayedGroup(record, 2, "it broke");
}

/** The same with a value somewhere else. */
function changed(group: EncodedGroup, path: readonly (string | number)[], value: unknown): unknown {
  const copy = throughJson(group);
  let at = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as typeof at;
  at[path.at(-1) as string] = value;
  return copy;
}

const REQUEST = ["sessions", 0, "completions", 0];
const REWARD = ["sessions", 0, "rewards", 0];
const NaN4 = btoa("\x00\x00\xc0\x7f");

describe("a played group", () => {
  it("comes out of the pool bit for bit as it came out of the other one", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 5 }), async (sessions) => {
        const record = await recordOf(sessions);
        const encoded = encodePlayedGroup(record, 3, null);
        expect(adopted(throughJson(encoded), sessions.length)).toStrictEqual(record);
      }),
      { numRuns: 300 },
    );
  });

  it("says whose it is, and what an agent threw, at its first", async () => {
    const group = await sent();
    expect(decodePlayedGroup(throughJson(group))).toMatchObject({
      ...{ groupId: 7, attempt: 2, taskId: "7", agentError: "it broke" },
    });
  });

  it.each([
    [["groupId"], -1],
    [["groupId"], "7"],
    [["attempt"], 0.5],
    [["attempt"], undefined],
    [["taskId"], 7],
    [["agentError"], "x".repeat(5000)],
    [["agentError"], undefined],
    [["sessions"], []],
    [["sessions"], Array.from({ length: 5000 }, () => null)],
    [["more"], 1],
    [["sessions", 0, "status"], "superb"],
    [["sessions", 0, "startedAt"], null],
    [["sessions", 0, "endedAt"], Number.NaN],
    [["sessions", 0, "endedAt"], "9"],
    [["sessions", 0, "completions"], {}],
    [["sessions", 0, "rewards"], null],
    [["sessions", 0, "more"], 1],
    [[...REQUEST, "requestIndex"], 0.5],
    [[...REQUEST, "parent"], -1],
    [[...REQUEST, "parent"], undefined],
    [[...REQUEST, "role"], ""],
    [[...REQUEST, "role"], "r".repeat(5000)],
    [[...REQUEST, "promptIds"], [1]],
    [[...REQUEST, "promptIds"], "AAA="],
    [[...REQUEST, "promptIds"], "?"],
    [[...REQUEST, "responseIds"], "A".repeat(2 ** 25)],
    [[...REQUEST, "behaviorLogprobs"], NaN4],
    [[...REQUEST, "policyVersions"], [1]],
    [
      [...REQUEST, "policyVersions"],
      [1, Number.POSITIVE_INFINITY],
    ],
    [[...REQUEST, "sampling"], { temperature: 1 }],
    [[...REQUEST, "sampling", "topP"], Number.NaN],
    [[...REQUEST, "finishReason"], null],
    [[...REQUEST, "submittedAt"], Number.NaN],
    [[...REQUEST, "finishedAt"], Number.NEGATIVE_INFINITY],
    [[...REQUEST, "sessionId"], "7-0"],
    [[...REWARD, "kind"], "bonus"],
    [[...REWARD, "name"], ""],
    [[...REWARD, "value"], Number.NaN],
    [[...REWARD, "requestIndex"], -1],
    [[...REWARD, "more"], 1],
  ] as const)("is refused with a wrong %j", async (path, value) => {
    const group = await sent();
    expect(codeOf(() => decodePlayedGroup(changed(group, path, value)))).toBe("argument_invalid");
  });

  it.each([null, 7, "group", [], {}])("is none: %j", (value) => {
    expect(codeOf(() => decodePlayedGroup(value))).toBe("argument_invalid");
  });

  it.each([
    ["details that no record can hold", ["sessions", 0, "details"], deep(50_000)],
    ["no details", ["sessions", 0, "details"], undefined],
    ["an answer without its log-probs", [...REQUEST, "behaviorLogprobs"], ""],
    ["an end before its beginning", ["sessions", 0, "endedAt"], 0],
  ] as const)("leaves the pool as it was with %s", async (_, path, value) => {
    const group = await sent();
    let finished = 0;
    const pool = new DataPool({
      ...{ capacityTokens: 10, clock: new ManualClock() },
      onFinished: () => finished++,
    });
    const [own = ""] = pool.open({ groupId: 7, taskId: "7", sessions: 1, awaits: ["success"] });
    const copy = decodePlayedGroup(changed(group, path, value));
    expect(codeOf(() => pool.adopt(7, copy.sessions))).toBe("argument_invalid");
    expect([finished, pool.unfinished, pool.stats.tokens]).toEqual([0, [7], 0]);
    pool.end(own, "cancelled");
    expect(finished).toBe(1);
  });
});

function deep(levels: number): unknown {
  let value: unknown = null;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

describe("requests for jobs, and answers", () => {
  const holds = [{ groupId: 1, attempt: 2 }];

  it("are read as they are written", () => {
    expect(readTakeRequest({ room: 3, holds })).toEqual({ room: 3, holds });
    const taken = { jobs: [{ groupId: 1, attempt: 2, version: 3 }], cancelled: [4] };
    expect(readTaken(taken)).toEqual(taken);
  });

  it.each([
    null,
    { room: 1 },
    { room: -1, holds },
    { room: 1e9, holds },
    { room: 1, holds: [{ groupId: 1 }] },
    { room: 1, holds, more: 1 },
  ])("are refused: %j", (value) => {
    expect(codeOf(() => readTakeRequest(value))).toBe("argument_invalid");
  });

  it.each([
    { jobs: [] },
    { jobs: [{ groupId: 1, attempt: 2 }], cancelled: [] },
    { jobs: [], cancelled: ["1"] },
  ])("and answers: %j", (value) => {
    expect(codeOf(() => readTaken(value))).toBe("argument_invalid");
  });
});
