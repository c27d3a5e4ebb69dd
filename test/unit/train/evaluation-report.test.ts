import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareEvaluations } from "../../../src/train/evaluation/comparison.ts";
import {
  type EvaluatedEpisode,
  evaluationMetrics,
  evaluationReport,
  type ReportOptions,
} from "../../../src/train/evaluation/report.ts";
import { passAtK, wilsonInterval } from "../../../src/train/evaluation/statistics.ts";
import { codeOf } from "../../support/errors.ts";

const SETTINGS = { environment: "sums", policyVersion: 7, seed: 3, temperature: 0.5 };

function episode(
  taskIndex: number,
  sampleIndex: number,
  isSuccess: boolean,
  rest: Partial<EvaluatedEpisode> = {},
): EvaluatedEpisode {
  return {
    ...{ taskId: `task-${taskIndex}`, taskIndex, sampleIndex, isSuccess },
    ...{ reward: isSuccess ? 1 : 0, components: { correct: isSuccess ? 1 : 0 } },
    ...{ status: "completed", sampledTokens: 4, transcript: [] },
    ...rest,
  };
}

const report = (episodes: readonly EvaluatedEpisode[], options: Partial<ReportOptions> = {}) =>
  evaluationReport(episodes, { ...SETTINGS, ...options });

describe("evaluationReport", () => {
  const episodes = [
    episode(0, 0, true, { reward: 1.5, components: { correct: 1, speed: 0.5 }, sampledTokens: 2 }),
    episode(0, 1, false, { components: { correct: 0, speed: null }, sampledTokens: 9 }),
    episode(0, 2, false, { components: { correct: 0, speed: null }, status: "truncated" }),
    episode(1, 0, true),
    episode(1, 1, true),
    episode(1, 2, true, { sampledTokens: 7 }),
    episode(2, 0, false, { status: "agent_error", reward: null, components: {} }),
    episode(2, 1, false, { status: "cancelled" }),
    episode(2, 2, false, { status: "infra_error", reward: 99, sampledTokens: 1000 }),
  ];

  it("counts trials, and no play that the machine broke off", () => {
    const { tasks, transcripts, ...rest } = report(episodes);
    expect(rest).toEqual({
      ...{ ...SETTINGS, successes: 4, trials: 8 },
      // the most samples that every task has are two
      passAt: { 1: (1 / 3 + 1 + 0) / 3, 2: expect.closeTo((2 / 3 + 1 + 0) / 3, 14) },
      interval: wilsonInterval({ successes: 4, trials: 8 }),
      reward: { mean: 4.5 / 7, count: 7 },
      components: { correct: { mean: 4 / 7, count: 7 }, speed: { mean: 0.5, count: 1 } },
      tokens: { mean: 38 / 8, max: 9 },
      truncated: 1 / 8,
      statuses: { completed: 5, truncated: 1, agent_error: 1, cancelled: 1, infra_error: 1 },
    });
    expect(tasks).toEqual([
      {
        ...{ taskId: "task-0", taskIndex: 0, successes: 1, trials: 3, reward: 0.5, tokens: 5 },
        components: { correct: 1 / 3, speed: 0.5 },
      },
      {
        ...{ taskId: "task-1", taskIndex: 1, successes: 3, trials: 3, reward: 1, tokens: 5 },
        components: { correct: 1, speed: null },
      },
      {
        ...{ taskId: "task-2", taskIndex: 2, successes: 0, trials: 2, reward: 0, tokens: 4 },
        components: { correct: 0, speed: null },
      },
    ]);
  });

  it("shows successes, then failures, of as many tasks as there are", () => {
    const places = (transcripts: number) =>
      report(episodes, { transcripts }).transcripts.map((e) => [e.taskIndex, e.sampleIndex]);
    expect(places(2)).toEqual([
      [0, 0],
      [1, 0],
      [0, 1],
      [2, 0],
    ]);
    expect(places(3).slice(0, 3)).toEqual([
      [0, 0],
      [1, 0],
      [1, 1],
    ]);
    expect(places(0)).toEqual([]);
  });

  it("is the same in whatever order episodes ended", () => {
    const expected = JSON.stringify(report(episodes));
    const anyOrder = fc.shuffledSubarray(episodes, { minLength: episodes.length });
    fc.assert(
      fc.property(anyOrder, (mixed) => {
        expect(JSON.stringify(report(mixed))).toBe(expected);
      }),
    );
  });

  it("gives the pass@k that is asked for", () => {
    const four = [true, false, false, false].map((isSuccess, i) => episode(0, i, isSuccess));
    const { passAt } = report(four, { passAt: [2, 4] });
    expect(passAt).toEqual({ 2: passAtK({ successes: 1, trials: 4 }, 2), 4: 1 });
    expect(codeOf(() => report(four, { passAt: [5] }))).toBe("argument_invalid");
  });

  it("of nothing has no figures", () => {
    const broken = [episode(0, 0, false, { status: "infra_error" })];
    for (const none of [report([]), report(broken)]) {
      expect(none).toMatchObject({ trials: 0, passAt: {}, interval: { low: 0, high: 1 } });
      expect(none.reward).toEqual({ mean: null, count: 0 });
      expect(evaluationMetrics(none)).toEqual({});
    }
  });

  it("refuses an episode that is there twice", () => {
    const twice = [episode(0, 0, true), episode(1, 0, true), episode(0, 0, false)];
    expect(codeOf(() => report(twice))).toBe("argument_invalid");
  });

  it("becomes metrics", () => {
    expect(evaluationMetrics(report(episodes))).toEqual({
      "eval/pass_at_1": 4 / 9,
      "eval/pass_at_2": expect.closeTo(5 / 9, 14),
      "eval/success_rate": 0.5,
      "eval/reward_mean": 4.5 / 7,
      "eval/reward/correct": 4 / 7,
      "eval/reward/speed": 0.5,
      "eval/response_length_mean": 4.75,
      "eval/truncated": 0.125,
    });
  });
});

describe("compareEvaluations", () => {
  const plays = (successes: readonly number[]): EvaluatedEpisode[] =>
    successes.flatMap((count, task) => [0, 1, 2, 3].map((i) => episode(task, i, i < count)));
  const before = report(plays([0, 2, 4, 1]));
  const after = report(plays([3, 2, 2, 4]));

  it("says what has changed, and how sure that is", () => {
    const { interval, tasks, passAt, components, ...changes } = compareEvaluations(before, after);
    const change = { before: 7 / 16, after: 11 / 16, difference: 4 / 16 };
    expect(changes).toEqual({
      ...{ successRate: change, reward: change },
      tokens: { before: 4, after: 4, difference: 0 },
    });
    expect(components).toEqual({ correct: change });
    expect(passAt).toEqual({ 1: change, 4: { before: 0.75, after: 1, difference: 0.25 } });
    expect(tasks).toEqual({ better: ["task-0", "task-3"], same: 1, worse: ["task-2"] });
    // statsmodels 0.15.0, confint_proportions_2indep(11, 16, 7, 16, compare="diff", method="newcomb")
    expect(interval.low).toBeCloseTo(-0.08541047981007244, 13);
    expect(interval.high).toBeCloseTo(0.5180275269591006, 13);
  });

  it("compares what both have", () => {
    const one = report([episode(9, 0, true, { components: { other: 1 } })]);
    const { passAt, components, tasks } = compareEvaluations(before, one);
    expect(Object.keys(passAt)).toEqual(["1"]);
    expect(components).toEqual({});
    expect(tasks).toEqual({ better: [], same: 0, worse: [] });
    expect(compareEvaluations(report([]), one)).toMatchObject({
      successRate: { before: null, after: 1, difference: null },
      interval: { low: -1, high: 1 },
    });
  });
});
