/** What an evaluation comes to. It follows from the episodes alone, in whatever order they ended. */
import { ForgeError } from "../../../engine/error.ts";
import type { SessionStatus } from "../../pool/record.ts";
import type { Metrics } from "../run/metrics.ts";
import { type Counts, type Interval, passAtK, successRate, wilsonInterval } from "./statistics.ts";

/** A request of an episode and its answer, as text. */
export interface Turn {
  readonly prompt: string;
  readonly response: string;
}

/** One play of one task. */
export interface EvaluatedEpisode {
  /** What people call the task. */
  readonly taskId: string;
  /** Number of the task among those evaluated: what makes a task one. */
  readonly taskIndex: number;
  /** Number of the play among those of its task. */
  readonly sampleIndex: number;
  readonly isSuccess: boolean;
  /** Weighted, of the whole play; `null` where nothing was scored, as after a failure. */
  readonly reward: number | null;
  /** Without weights; `null` where a component does not apply. */
  readonly components: Readonly<Record<string, number | null>>;
  readonly status: SessionStatus;
  /** Tokens that the policy wrote, over all answers. */
  readonly sampledTokens: number;
  readonly transcript: readonly Turn[];
}

/** How episodes were played. */
export interface EvaluationSettings {
  readonly environment: string;
  /** Version of the policy's weights: the optimizer step they are of. */
  readonly policyVersion: number;
  readonly seed: number;
  readonly temperature: number;
}

/** Options of {@link evaluationReport}. */
export interface ReportOptions extends EvaluationSettings {
  /** Which pass@k to give. Default: 1, and the most that every task has samples for. */
  readonly passAt?: readonly number[];
  /** Transcripts of successes, and as many of failures, at most. Default 3. */
  readonly transcripts?: number;
}

/** A mean, and of how many values. `null` of none. */
export interface Mean {
  readonly mean: number | null;
  readonly count: number;
}

/** What the plays of one task came to. */
export interface TaskResult extends Counts {
  readonly taskId: string;
  readonly taskIndex: number;
  readonly reward: number | null;
  /** Mean tokens of a play. */
  readonly tokens: number | null;
  /** Mean of each component, where it applied. */
  readonly components: Readonly<Record<string, number | null>>;
}

/** An evaluation. All but `statuses` is about trials: plays that the machine did not break off. */
export interface EvaluationReport extends EvaluationSettings, Counts {
  /** By their numbers. */
  readonly tasks: readonly TaskResult[];
  /** Mean over tasks of pass@k, by k. Empty without trials. */
  readonly passAt: Readonly<Record<string, number>>;
  /**
   * Of successes / trials, by Wilson's score. It is about these tasks; about tasks like them it is too narrow when the
   * samples of a task agree with each other.
   */
  readonly interval: Interval;
  readonly reward: Mean;
  readonly components: Readonly<Record<string, Mean>>;
  /** Tokens of a play. */
  readonly tokens: { readonly mean: number | null; readonly max: number };
  /** Share of trials that ended at a limit of length. */
  readonly truncated: number;
  /** How many plays ended in each way. `infra_error` alone is no trial. */
  readonly statuses: Readonly<Partial<Record<SessionStatus, number>>>;
  /** Successes, then failures, of different tasks as far as there are. */
  readonly transcripts: readonly EvaluatedEpisode[];
}

/**
 * Sums up episodes. A play that ran out of time, or whose agent failed, is a failure; one that the machine broke off says
 * nothing of the policy and is not counted.
 *
 * Errors    `argument_invalid` for two episodes with the same task and sample, and for a k that a task has too few trials for.
 */
export function evaluationReport(
  episodes: readonly EvaluatedEpisode[],
  { passAt, transcripts = 3, ...settings }: ReportOptions,
): EvaluationReport {
  const sorted = inOrder(episodes);
  const trials = sorted.filter(({ status }) => status !== "infra_error");
  const names = [...new Set(sorted.flatMap(({ components }) => Object.keys(components)))];
  const tasks = byTask(sorted).map((plays) => taskResult(plays, names));
  const counts = countsOf(trials);
  const tokens = trials.map(({ sampledTokens }) => sampledTokens);
  const { environment, policyVersion, seed, temperature } = settings;
  return {
    ...{ environment, policyVersion, seed, temperature, ...counts, tasks },
    passAt: passAtOf(tasks, passAt),
    interval: wilsonInterval(counts),
    reward: meanOf(trials.flatMap(({ reward }) => reward ?? [])),
    components: Object.fromEntries(names.map((name) => [name, componentMean(trials, name)])),
    tokens: { mean: meanOf(tokens).mean, max: tokens.reduce((a, b) => Math.max(a, b), 0) },
    truncated:
      trials.filter(({ status }) => status === "truncated").length / Math.max(1, trials.length),
    statuses: statusesOf(sorted),
    transcripts: [true, false].flatMap((kind) =>
      chosen(
        trials.filter(({ isSuccess }) => isSuccess === kind),
        transcripts,
      ),
    ),
  };
}

/** An evaluation as metrics of a step. What there is no figure for is left out. */
export function evaluationMetrics(report: EvaluationReport): Metrics {
  const { passAt, reward, components, tokens, truncated, trials } = report;
  const entries: [string, number | null][] = [
    ...Object.entries(passAt).map(([k, value]): [string, number] => [`eval/pass_at_${k}`, value]),
    ["eval/success_rate", successRate(report)],
    ["eval/reward_mean", reward.mean],
    ...Object.entries(components).map(([name, { mean }]): [string, number | null] => [
      `eval/reward/${name}`,
      mean,
    ]),
    ["eval/response_length_mean", tokens.mean],
    ["eval/truncated", trials === 0 ? null : truncated],
  ];
  return Object.fromEntries(entries.flatMap(([k, v]) => (v === null ? [] : [[k, v]])));
}

/** By task, then by sample. */
function inOrder(episodes: readonly EvaluatedEpisode[]): EvaluatedEpisode[] {
  const sorted = episodes.toSorted(
    (a, b) => a.taskIndex - b.taskIndex || a.sampleIndex - b.sampleIndex,
  );
  sorted.forEach(({ taskIndex, sampleIndex }, i) => {
    const before = sorted[i - 1];
    if (before?.taskIndex !== taskIndex || before.sampleIndex !== sampleIndex) return;
    throw new ForgeError({
      code: "argument_invalid",
      what: "evaluationReport: an episode is there twice.",
      got: `sample ${sampleIndex} of task ${taskIndex}`,
      fix: "number the plays of a task from 0",
    });
  });
  return sorted;
}

function byTask(sorted: readonly EvaluatedEpisode[]): EvaluatedEpisode[][] {
  const tasks = new Map<number, EvaluatedEpisode[]>();
  for (const each of sorted)
    tasks.set(each.taskIndex, [...(tasks.get(each.taskIndex) ?? []), each]);
  return [...tasks.values()];
}

function taskResult(plays: readonly EvaluatedEpisode[], names: readonly string[]): TaskResult {
  const { taskId, taskIndex } = plays[0] as EvaluatedEpisode;
  const trials = plays.filter(({ status }) => status !== "infra_error");
  return {
    ...{ taskId, taskIndex, ...countsOf(trials) },
    reward: meanOf(trials.flatMap(({ reward }) => reward ?? [])).mean,
    tokens: meanOf(trials.map(({ sampledTokens }) => sampledTokens)).mean,
    components: Object.fromEntries(names.map((name) => [name, componentMean(trials, name).mean])),
  };
}

/** Tasks without trials are in no mean. */
function passAtOf(
  tasks: readonly TaskResult[],
  asked: readonly number[] | undefined,
): Record<string, number> {
  const tried = tasks.filter(({ trials }) => trials > 0);
  if (tried.length === 0) return {};
  const ks = asked ?? [1, tried.reduce((least, { trials }) => Math.min(least, trials), Infinity)];
  return Object.fromEntries(
    [...new Set(ks)].map((k) => [k, meanOf(tried.map((task) => passAtK(task, k))).mean as number]),
  );
}

function countsOf(trials: readonly EvaluatedEpisode[]): Counts {
  return { successes: trials.filter((each) => each.isSuccess).length, trials: trials.length };
}

function componentMean(trials: readonly EvaluatedEpisode[], name: string): Mean {
  return meanOf(trials.flatMap(({ components }) => components[name] ?? []));
}

function meanOf(values: readonly number[]): Mean {
  const count = values.length;
  return { mean: count === 0 ? null : values.reduce((a, b) => a + b, 0) / count, count };
}

function statusesOf(episodes: readonly EvaluatedEpisode[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of episodes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** The first sample of each task, then the second of each, and so on. */
function chosen(episodes: readonly EvaluatedEpisode[], most: number): EvaluatedEpisode[] {
  const turns = new Map<number, number>();
  return episodes
    .map((episode) => {
      const turn = turns.get(episode.taskIndex) ?? 0;
      turns.set(episode.taskIndex, turn + 1);
      return { episode, turn };
    })
    .sort((a, b) => a.turn - b.turn || a.episode.taskIndex - b.episode.taskIndex)
    .slice(0, most)
    .map(({ episode }) => episode);
}
