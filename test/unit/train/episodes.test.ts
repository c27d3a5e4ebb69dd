/** What an episode earns, from the records of its group. */
import { describe, expect, it } from "vitest";
import type {
  Completion,
  GroupRecord,
  RewardRecord,
  SessionRecord,
} from "../../../src/pool/record.ts";
import { SpeedBaselines } from "../../../src/rl/reward/speed.ts";
import { episodesOf, type RewardOptions } from "../../../src/train/episode/episodes.ts";

const environment = {
  rewards: { right: { weight: 2 }, polite: { weight: 0.5 }, note: { weight: 0 } },
  groupRewards: {},
};
const PLAIN: RewardOptions = { process: 1, speed: 0, truncated: "score" };

function session(
  sample: number,
  rewards: readonly Omit<RewardRecord, "requestIndex">[],
  rest: Partial<SessionRecord> = {},
): SessionRecord {
  const completion = { requestIndex: 0, responseIds: new Uint32Array(3) } as unknown as Completion;
  return {
    ...{ sessionId: `0-${sample}`, groupId: 0, taskId: "t", status: "completed", takesPart: true },
    ...{ completions: [completion], startedAt: 0, endedAt: 10, details: null },
    rewards: rewards.map((reward) => ({
      ...reward,
      requestIndex: reward.kind === "process" ? 0 : null,
    })),
    ...rest,
  };
}

const outcome = (name: string, value: number) => ({ kind: "outcome", name, value }) as const;

function rewardsOf(sessions: readonly SessionRecord[], options = PLAIN): (number | null)[] {
  const group: GroupRecord = { groupId: 0, taskId: "t", sessions, isTrainable: true };
  return episodesOf(group, environment, new SpeedBaselines(), options).map(({ reward }) => reward);
}

describe("episodesOf", () => {
  const cut = session(0, [outcome("right", 1)], { status: "truncated" });

  it.each([
    ["mask", null],
    ["score", 2],
    ["zero", 0],
  ] as const)("an episode that was cut: %s gives %s", (truncated, reward) => {
    expect(rewardsOf([cut], { ...PLAIN, truncated })).toEqual([reward]);
  });

  it("weighs outcomes and process, and lets the configuration weigh them otherwise", () => {
    const own = session(0, [outcome("right", 1), { kind: "process", name: "polite", value: -1 }]);
    expect(rewardsOf([own])).toEqual([2 - 0.5]);
    expect(rewardsOf([own], { ...PLAIN, process: 0.1, weights: { right: 3 } })).toEqual([3 - 0.05]);
  });

  it("has no part for an episode without a weighted reward, or that failed", () => {
    const unweighted = session(0, [outcome("note", 1)]);
    const failed = session(1, [outcome("right", 1)], { takesPart: false });
    expect(rewardsOf([unweighted, failed])).toEqual([null, null]);
  });

  it("pays speed to successes alone, against the median of the group", () => {
    const done = [outcome("right", 1), outcome("success", 1)];
    const sessions = [
      session(0, done, { endedAt: 5 }),
      session(1, done, { endedAt: 10 }),
      session(2, done, { endedAt: 15 }),
      session(3, [outcome("right", 0), outcome("success", 0)], { endedAt: 1 }),
    ];
    const speedy = { ...PLAIN, speed: 0.1 };
    expect(rewardsOf(sessions, speedy)).toEqual([2 + 0.1 * 0.5, 2, 2 - 0.1 * 0.5, 0]);
  });

  it("takes the penalty for length from the last answer", () => {
    const overlong = { maxLength: 4, buffer: 2 };
    expect(rewardsOf([session(0, [outcome("right", 1)])], { ...PLAIN, overlong })).toEqual([1.5]);
  });
});
