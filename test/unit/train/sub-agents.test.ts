/** Agents within an episode: from what they asked to what each of their tokens is credited with. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/pool/clock.ts";
import { DataPool } from "../../../src/pool/pool.ts";
import { advantagesOf } from "../../../src/rl/algorithm/advantages.ts";
import { algorithm } from "../../../src/rl/algorithm/index.ts";
import { SpeedBaselines } from "../../../src/rl/reward/speed.ts";
import {
  episodesOf,
  type RecordedEpisode,
  type RewardOptions,
} from "../../../src/train/episode/episodes.ts";
import { expectClose } from "../../support/gpu.ts";
import { rowsOf } from "../../support/rl-episodes.ts";

/** A request: its agent, what it follows, its sampled tokens, and what it earned by itself. */
interface Asked {
  readonly role: string;
  readonly parent: number | null;
  readonly tokens?: number;
  readonly process?: number;
}

/** Two agents side by side behind a plan, one of which asks twice, and an answer that follows the second of it. */
const TEAM: readonly Asked[] = [
  { role: "main", parent: null, process: 1 },
  { role: "search", parent: 0, process: 2 },
  { role: "review", parent: 0, process: 4 },
  { role: "search", parent: 1, process: 8 },
  { role: "main", parent: 3, process: 16 },
];
const environment = { rewards: { right: { weight: 1 }, form: { weight: 1 } }, groupRewards: {} };
const OPTIONS: RewardOptions = { process: 1, speed: 0, truncated: "score" };

/** The episode as it comes out of the pool. */
async function played(
  requests: readonly Asked[],
  options: Partial<RewardOptions> = {},
): Promise<RecordedEpisode> {
  const pool = new DataPool({ capacityTokens: 1000, clock: new ManualClock() });
  const [id = ""] = pool.open({ groupId: 0, taskId: "t", sessions: 1, awaits: ["right"] });
  for (const [requestIndex, { role, parent, tokens = 2, process }] of requests.entries()) {
    const responseIds = Array.from({ length: tokens }, (_, t) => t);
    await pool.add(id, {
      ...{ requestIndex, parent, role, promptIds: [requestIndex], responseIds },
      behaviorLogprobs: responseIds.map(() => -1),
      ...{ policyVersions: [0, 0], finishReason: "stop", submittedAt: 0, finishedAt: 0 },
      sampling: { temperature: 1, topK: 0, topP: 1, minP: 0 },
    });
    if (process !== undefined)
      pool.reward(id, { kind: "process", name: "form", requestIndex, value: process });
  }
  pool.end(id, "completed");
  pool.reward(id, { kind: "outcome", name: "right", value: 100 });
  const all = { ...OPTIONS, ...options };
  const [episode] = episodesOf(pool.take(0), environment, new SpeedBaselines(), all);
  return episode as RecordedEpisode;
}

/** The advantage of each request, which all of its tokens have. */
function credited(episode: RecordedEpisode): number[] {
  const forge = algorithm("forge", { baseline: "none" });
  return (advantagesOf(forge, [episode]).advantages[0] ?? []).map((row) => {
    expect(new Set(Array.from(row)).size).toBe(1);
    return Number(row[0]);
  });
}

describe("FEATURE 30: requests of sub-agents are of one episode, and credit follows what caused what", () => {
  it("gives parallel sub-agents the same outcome; what each earns by itself stays with its chain", async () => {
    const episode = await played(TEAM);
    expect(episode.completions.map(({ role }) => role)).toEqual(TEAM.map(({ role }) => role));
    expect(episode.reward).toBe(100 + 31);
    const process = [1 + 2 + 4 + 8 + 16, 2 + 8 + 16, 4, 8 + 16, 16];
    expectClose(
      credited(episode),
      process.map((own) => 100 + own),
      { abs: 1e-12, rel: 0 },
    );
    // worse manners of the one are nothing to the other
    const rude = TEAM.map((one, i) => (i === 1 ? { ...one, process: -50 } : one));
    const [before, after] = [credited(episode), credited(await played(rude))];
    expect(after.map((a, i) => a - (before[i] as number))).toEqual([-52, -52, 0, 0, 0]);
  });

  it("passes over requests that sampled nothing, and credits agents apart with the outcome alone", async () => {
    const silent = TEAM.map((one, i) => (i === 3 ? { role: "search", parent: 1, tokens: 0 } : one));
    const episode = await played(silent);
    expect(episode.steps.map(({ parent }) => parent)).toEqual([null, 0, 0, 1]);
    expect(credited(episode)).toEqual([123, 118, 104, 116]);
    const apart = TEAM.map((one) => ({ ...one, parent: null }));
    expect(credited(await played(apart))).toEqual([101, 102, 104, 108, 116]);
  });

  it("of one line is credited as it always was", async () => {
    const line = TEAM.map((one, i) => ({ ...one, parent: i === 0 ? null : i - 1 }));
    expect(credited(await played(line))).toEqual([131, 130, 128, 124, 116]);
  });

  it("multiplies the advantages of an agent by the weight of its role", async () => {
    const plain = credited(await played(TEAM));
    const weighted = credited(await played(TEAM, { roles: { search: 0.5, review: 0 } }));
    expect(weighted).toEqual([1, 0.5, 0, 0.5, 1].map((w, i) => w * (plain[i] as number)));
  });

  it("has the same rows under an algorithm that compares whole episodes, whatever the chains", async () => {
    const line = TEAM.map((one, i) => ({ ...one, parent: i === 0 ? null : i - 1 }));
    const groups = [await played(TEAM), await played(line)];
    const { advantages } = advantagesOf(
      algorithm("rloo"),
      groups.map((one, i) => ({ ...one, steps: i === 0 ? one.steps : one.steps.slice(0, 2) })),
    );
    expect(new Set(rowsOf(advantages)[0]).size).toBe(1);
  });
});
