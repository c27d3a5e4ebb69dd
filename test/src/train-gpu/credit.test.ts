/** Whole steps of training on episodes with tools, sub-agents, comparisons within groups, and several domains. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  characterTokenizer,
  createModel,
  Tokenizer,
} from "../../../engine/index.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import type { Environment } from "../../../src/agent/environment.ts";
import { mixEnvironments } from "../../../src/agent/mix.ts";
import { forge } from "../../../src/rl/algorithm/forge.ts";
import type { RewardOptions } from "../../../src/train/episode/episodes.ts";
import { evaluate } from "../../../src/train/episode/evaluate.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { Learner } from "../../../src/train/learner/learner.ts";
import { stepMetrics } from "../../../src/train/learner/step-metrics.ts";
import { type StepReport, Trainer } from "../../../src/train/trainer.ts";
import { device } from "../../support/gpu.ts";

const tokenizer = Tokenizer.from({
  tokenizer: characterTokenizer("abcdefgh"),
  config: { eos_token: "<eos>", pad_token: "<pad>" },
});

let model: CausalLM;
beforeAll(async () => {
  await device();
  model = createModel({
    ...{ vocab: 12, layers: 1, width: 16, heads: 2, mlpWidth: 24, maxDepth: 48, seed: 3 },
  });
});
afterAll(() => model[Symbol.dispose]());

async function rolloutOf(isDeterministic: boolean): Promise<Rollout> {
  return new Rollout({
    ...{ device: await device(), model, tokenizer, batch: 8, length: 48, isDeterministic },
    stopIds: [], // all answers are of one length
  });
}

/** Steps of a run of groups of four; nothing is learned, so that what episodes earn can be told beforehand. */
async function run<Task>(
  environment: Environment<Task>,
  reward: Partial<RewardOptions>,
  {
    steps = 1,
    groups = 2,
    episodeTimeout,
  }: {
    readonly steps?: number;
    readonly groups?: number;
    readonly episodeTimeout?: number;
  } = {},
): Promise<StepReport[]> {
  const rollout = await rolloutOf(environment.isPure);
  const algorithm = forge({ baseline: "none" });
  using learner = new Learner({
    ...{ device: await device(), model, algorithm, tokenBudget: 512 },
    optimizer: { lr: 1e-9 },
  });
  const trainer = new Trainer({
    ...{ environment, rollout, learner, groupSize: 4, seed: 1 },
    sampling: { length: 48, temperature: 1 },
    reward: { process: 1, speed: 0, truncated: "score", ...reward },
    scheduler: { slots: groups, groupsPerStep: groups },
    poolCapacityTokens: 1e6,
    ...(episodeTimeout !== undefined && { episodeTimeout }),
  });
  const reports: StepReport[] = [];
  for (let i = 0; i < steps; i++) reports.push(await trainer.step());
  await trainer.close();
  await rollout.close();
  return reports;
}

const answer = { maxTokens: 2 };

describe("FEATURE 29: time with tools pays, relative to others of the task, for successes alone", () => {
  it("parallel calls beat serial ones at equal correctness; failing fast never beats succeeding slow", async () => {
    const MANNERS = ["parallel", "serial", "fail", "parallel"] as const;
    const TOOL_MS = 40;
    const plays = new Map<number, number>();
    const environment = defineEnvironment<number>({
      name: "manners",
      tasks: { train: (index) => index },
      play: async ({ task, policy }) => {
        const turn = plays.get(task) ?? 0;
        plays.set(task, turn + 1);
        const manner = MANNERS[turn % 4];
        await policy.generate({ prompt: "ab", ...answer });
        if (manner === "fail") return manner;
        if (manner === "parallel") await Promise.all([1, 2, 3].map(() => sleep(TOOL_MS)));
        else for (let call = 0; call < 3; call++) await sleep(TOOL_MS);
        await policy.generate({ append: "c", ...answer });
        return manner;
      },
      rewards: {
        right: ({ result }) => Number(result !== "fail"),
        // tells which it was
        parallel: { weight: 0, score: ({ result }) => Number(result === "parallel") },
      },
    });
    // tokens and tools alone count: no queue for the sampler, no pause of the machine in which timers are late together
    const [report] = await run(environment, { speed: 0.5, secondsPerToken: 1e-3 });
    const groups = new Set(report?.episodes.map(({ group }) => group));
    expect(groups.size).toBe(2);
    for (const group of groups) {
      const own = (report?.episodes ?? []).filter((episode) => episode.group === group);
      const rewardsOf = (is: (episode: (typeof own)[number]) => boolean): number[] =>
        own.filter(is).map(({ reward }) => Number(reward));
      const parallel = rewardsOf(({ components }) => components["parallel"] === 1);
      const failed = rewardsOf(({ isSuccess }) => !isSuccess);
      const serial = rewardsOf((one) => one.isSuccess && one.components["parallel"] === 0);
      expect([parallel.length, serial.length, failed.length]).toEqual([2, 1, 1]);
      expect(Math.min(...parallel)).toBeGreaterThan(Math.max(...serial));
      expect(failed).toEqual([0]);
      expect(Math.min(...serial)).toBeGreaterThanOrEqual(0.5);
    }
  });
});

describe("FEATURE 30: an episode's sub-agents, from what they ask to what their tokens are trained on", () => {
  it("parallel ones get the same outcome term; what one earns by itself stays with it and what led to it", async () => {
    const environment = defineEnvironment<string>({
      name: "team",
      tasks: { train: ["ab", "ba"] },
      isPure: true,
      play: async ({ task, policy }) => {
        const plan = await policy.generate({ prompt: task, ...answer });
        const parent = plan.requestIndex;
        await Promise.all(
          ["left", "right"].map((role) =>
            policy.generate({ prompt: `${task}c`, role, parent, ...answer }),
          ),
        );
      },
      rewards: {
        done: () => 10,
        form: {
          kind: "process",
          score: ({ replies }) => replies.map(({ role }) => (role === "left" ? 1 : null)),
        },
      },
    });
    const [report] = await run(environment, { roles: { right: 0.25 } });
    const { episodes, learned } = report as StepReport;
    expect(episodes).toHaveLength(8);
    for (const [e, { completions, reward, session }] of episodes.entries()) {
      expect(reward).toBe(11);
      expect(completions.map(({ role, parent }) => [role, parent])).toEqual([
        ["main", null],
        ["left", 0],
        ["right", 0],
      ]);
      expect(session.sessionId).toBe(completions[2]?.sessionId);
      const advantages = learned?.samples.filter(({ episode }) => episode === e);
      expect(advantages?.map((sample) => [...Array.from(sample.advantages)])).toEqual([
        [11, 11],
        [11, 11],
        [2.5, 2.5],
      ]);
    }
    expect(stepMetrics(report as StepReport, forge())["rollout/forks"]).toBe(0);
  });
});

describe("FEATURE 31: a step has every domain at its ratio", () => {
  it("with the tasks, limits and measures of each", async () => {
    const domain = (name: string, maxTokens: number) =>
      defineEnvironment<string>({
        ...{ name, maxTokens },
        tasks: { train: ["ab", "ba", "cc"], eval: ["dd"] },
        prompt: (task) => task,
        rewards: { length: ({ replies }) => replies[0]?.ids.length ?? 0 },
        isSuccess: (_, outcome) => outcome === 5,
      });
    const mix = mixEnvironments({
      name: "mix",
      domains: {
        long: {
          ...{ environment: domain("long", 5), share: 1 },
          stages: [{ from: 0, maxTokens: 3 }, { from: 2 }],
        },
        short: { environment: domain("short", 2), share: 2 },
      },
    });
    expect(mix.isPure).toBe(true);
    const reports = await run(mix, {}, { steps: 3, groups: 3 });
    for (const [step, report] of reports.entries()) {
      const groups = new Map(
        report.episodes.map(({ session }) => [session.groupId, session.taskId]),
      );
      const domains = [...groups.values()].map((id) => id.slice(0, id.indexOf("/")));
      expect(domains.sort()).toEqual(["long", "short", "short"]);
      const metrics = stepMetrics(report, forge());
      expect(metrics).toMatchObject({
        "reward/long/length": step < 2 ? 3 : 5,
        "reward/short/length": 2,
        "reward/long/success_rate": step < 2 ? 0 : 1,
        "reward/short/success_rate": 0,
      });
    }
  });
});

describe("rewards that compare the plays of a group", () => {
  /** Ranks by the first id; plays of tasks with a "c" fail at random places, or are slow. */
  function ranked(seen: number[][]): Environment<string> {
    return defineEnvironment<string>({
      name: "ranked",
      tasks: { train: ["ab", "ba"], eval: ["aa", "bb"] },
      isPure: true,
      play: async ({ task, policy, seed }) => {
        await policy.generate({ prompt: task, ...answer });
        if (seed % 5 === 0) throw new Error("this one fails");
        await policy.generate({ append: "a", ...answer });
        return seed;
      },
      rewards: { none: { weight: 0, score: () => 1 } },
      groupRewards: {
        rank: {
          score: async (traces) => {
            seen.push(traces.map(({ result }) => Number(result)));
            await null;
            return traces.map((_, i) => (i === 0 ? null : i));
          },
        },
      },
    });
  }

  it("see all plays that ended well, in their order, and are outcomes; a null is no reward", async () => {
    const seen: number[][] = [];
    const reports = await run(ranked(seen), {}, { steps: 4 });
    expect(seen.length).toBe(8);
    for (const { episodes } of reports)
      for (const group of new Set(episodes.map((episode) => episode.group))) {
        const own = episodes.filter((episode) => episode.group === group);
        // answers are cut at their limit, and scored as they are
        const well = own.filter(({ session }) => session.status === "truncated");
        expect(well.map(({ reward }) => reward)).toEqual(well.map((_, i) => (i === 0 ? null : i)));
        expect(well.map(({ components }) => components["rank"])).toEqual(
          well.map((_, i) => (i === 0 ? null : i)),
        );
        for (const failed of own.filter((one) => !well.includes(one)))
          expect([failed.session.status, failed.reward]).toEqual(["agent_error", null]);
      }
    // what was drawn says which play was which: no two of a run are the same
    const all = seen.flat();
    expect(new Set(all).size).toBe(all.length);
    expect(all.every((seed) => seed % 5 !== 0)).toBe(true);
    expect(all.length).toBeLessThan(32);
  });

  it("compare the samples of a held-out task", async () => {
    const seen: number[][] = [];
    const rollout = await rolloutOf(true);
    const environment = ranked(seen);
    const options = { rollout, environment, tasks: environment.eval, seed: 4 };
    const sampling = { length: 48, temperature: 1 };
    const episodes = await evaluate({ ...options, sampling, samples: 3 });
    const alone = await evaluate({ ...options, sampling, samples: 1 });
    await rollout.close();
    for (const task of [0, 1]) {
      const own = episodes.filter(({ taskIndex }) => taskIndex === task);
      const well = own.filter(({ status }) => status === "truncated");
      expect(well.length).toBeGreaterThanOrEqual(2);
      expect(well.map(({ reward, isSuccess }) => [reward, isSuccess])).toEqual(
        well.map((_, i) => (i === 0 ? [null, false] : [i, i >= 1])),
      );
    }
    expect(alone.map(({ reward, components }) => [reward, components["rank"] ?? null])).toEqual([
      [null, null],
      [null, null],
    ]);
  });

  it("wait for no play longer than it may take", async () => {
    const environment = defineEnvironment<string>({
      name: "one hangs",
      tasks: { train: ["ab"] },
      play: async ({ policy, seed, signal }) => {
        const { ids } = await policy.generate({ prompt: "ab", ...answer });
        plays++;
        if (plays % 4 === 2) await sleep(60_000, undefined, { signal });
        return [seed, ids];
      },
      rewards: { none: { weight: 0, score: () => 1 } },
      groupRewards: { rank: { score: (traces) => traces.map((_, i) => i) } },
    });
    let plays = 0;
    const [report] = await run(environment, {}, { groups: 1, episodeTimeout: 3000 });
    const { episodes } = report as StepReport;
    const statuses = episodes.map(({ session }) => session.status).sort();
    expect(statuses).toEqual(["cancelled", "truncated", "truncated", "truncated"]);
    const rewards = episodes.map(({ reward }) => reward).filter((reward) => reward !== null);
    expect(rewards).toEqual([0, 1, 2]);
  });
});
