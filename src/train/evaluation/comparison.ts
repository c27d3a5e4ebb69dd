/** Two evaluations of the same tasks side by side: before training and after it. */
import type { EvaluationReport, TaskResult } from "./report.ts";
import { differenceInterval, type Interval, successRate } from "./statistics.ts";

/** A figure before and after. `null` where there was none. */
export interface Change {
  readonly before: number | null;
  readonly after: number | null;
  /** after − before. */
  readonly difference: number | null;
}

/** What has changed between two evaluations. */
export interface EvaluationComparison {
  /** Successes / trials. */
  readonly successRate: Change;
  /** Of the difference of success rates; all trials are taken for independent. */
  readonly interval: Interval;
  /** Mean over tasks of pass@k, for each k that both have. */
  readonly passAt: Readonly<Record<string, Change>>;
  readonly reward: Change;
  readonly components: Readonly<Record<string, Change>>;
  readonly tokens: Change;
  /** Tasks that both have tried, by whether more or fewer of their samples are successes. */
  readonly tasks: {
    readonly better: readonly string[];
    readonly same: number;
    readonly worse: readonly string[];
  };
}

/** Holds `after` against `before`. Tasks are the same by their numbers. */
export function compareEvaluations(
  before: EvaluationReport,
  after: EvaluationReport,
): EvaluationComparison {
  const both = <T>(
    of: (report: EvaluationReport) => Readonly<Record<string, T>>,
    value: (entry: T) => number | null,
  ): Record<string, Change> => {
    const [b, a] = [of(before), of(after)];
    const shared = Object.keys(b).filter((key) => Object.hasOwn(a, key));
    return Object.fromEntries(
      shared.map((key) => [key, change(value(b[key] as T), value(a[key] as T))]),
    );
  };
  return {
    successRate: change(successRate(before), successRate(after)),
    interval: differenceInterval(before, after),
    passAt: both(
      (report) => report.passAt,
      (share) => share,
    ),
    reward: change(before.reward.mean, after.reward.mean),
    components: both(
      (report) => report.components,
      ({ mean }) => mean,
    ),
    tokens: change(before.tokens.mean, after.tokens.mean),
    tasks: changedTasks(before.tasks, after.tasks),
  };
}

function change(before: number | null, after: number | null): Change {
  return { before, after, difference: before === null || after === null ? null : after - before };
}

function changedTasks(
  before: readonly TaskResult[],
  after: readonly TaskResult[],
): EvaluationComparison["tasks"] {
  const rates = new Map(before.map((task) => [task.taskIndex, successRate(task)]));
  const tasks = after.flatMap((task) => {
    const [b, a] = [rates.get(task.taskIndex) ?? null, successRate(task)];
    return b === null || a === null ? [] : [{ name: task.taskId, difference: a - b }];
  });
  const names = (sign: number): string[] =>
    tasks.filter((task) => Math.sign(task.difference) === sign).map((task) => task.name);
  return {
    better: names(1),
    same: names(0).length,
    worse: names(-1),
  };
}
