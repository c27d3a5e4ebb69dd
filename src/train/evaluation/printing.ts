/** Evaluations as text for a terminal. What tasks and models say is printed so that it cannot act on the terminal. */
import { shownLine, shownText } from "../../terminal/shown-text.ts";
import { tableText } from "../../terminal/table.ts";
import type { Change, EvaluationComparison } from "./comparison.ts";
import type { EvaluatedEpisode, EvaluationReport, TaskResult } from "./report.ts";
import { type Interval, successRate } from "./statistics.ts";

/** Options of {@link evaluationText}. */
export interface EvaluationTextOptions {
  /** Characters of a line, at least 40. Default 80. */
  readonly columns?: number;
  /** Most tasks in the table. Default 10. */
  readonly rows?: number;
}

/** The figures of an evaluation, and a table of its tasks, the worst first. */
export function evaluationText(
  report: EvaluationReport,
  { columns = 80, rows = 10 }: EvaluationTextOptions = {},
): string {
  const { tasks, components } = report;
  const worst = tasks.toSorted(byWorst).slice(0, rows);
  const heading = worst.length < tasks.length ? `the worst ${worst.length} of ` : "";
  return [
    ...figures(report),
    "",
    `${heading}${plural(tasks.length, "task")}:`,
    taskTable(worst, Object.keys(components), columns),
  ].join("\n");
}

/** What has changed between two evaluations. */
export function comparisonText({ interval, tasks, ...comparison }: EvaluationComparison): string {
  const { better, same, worse } = tasks;
  const isClear = interval.low > 0 || interval.high < 0;
  const difference = comparison.successRate.difference;
  const rows = [
    ["", "before", "after", "change"],
    changeRow("success", comparison.successRate, percent),
    ...Object.entries(comparison.passAt).map(([k, c]) => changeRow(`pass@${k}`, c, decimal)),
    changeRow("reward", comparison.reward, decimal),
    ...Object.entries(comparison.components).map(([name, c]) =>
      changeRow(shownLine(name, 24), c, decimal),
    ),
    changeRow("tokens", comparison.tokens, tenth),
  ];
  const verdict = isClear ? "" : ": no clear difference";
  const range = `${signed(interval.low, percent)} to ${signed(interval.high, percent)}`;
  return [
    tableText(rows),
    ...(difference === null
      ? []
      : [`the change of success is in ${range} (${confidence(interval)})${verdict}`]),
    `${plural(better.length, "task")} better, ${same} the same, ${worse.length} worse`,
  ].join("\n");
}

/** Transcripts, one behind the other. A line of a prompt has `>` before it, one of an answer `│`. */
export function transcriptsText(episodes: readonly EvaluatedEpisode[]): string {
  return episodes.map(transcriptText).join("\n\n");
}

function transcriptText(episode: EvaluatedEpisode): string {
  const { taskId, sampleIndex, isSuccess, reward, components, status, transcript } = episode;
  const scores = Object.entries(components).map(
    ([name, value]) => `${shownLine(name)} ${decimal(value)}`,
  );
  const heading = [
    isSuccess ? "success" : "failure",
    `task ${shownLine(taskId, 40)}, sample ${sampleIndex}`,
    `reward ${decimal(reward)}`,
    ...(scores.length > 1 ? scores : []),
    ...(status === "completed" ? [] : [status]),
  ];
  return [
    `── ${heading.join(" · ")} ──`,
    ...transcript.flatMap(({ prompt, response }, turn) => [
      ...shownText(newIn(prompt, transcript[turn - 1]))
        .split("\n")
        .map((line) => `> ${line}`),
      ...shownText(response)
        .split("\n")
        .map((line) => `│ ${line}`),
    ]),
  ].join("\n");
}

/** What of a prompt is behind the one before and its answer; all of it where it is no continuation. */
function newIn(prompt: string, before: { prompt: string; response: string } | undefined): string {
  const known = before ? before.prompt + before.response : "";
  return prompt.startsWith(known) ? prompt.slice(known.length) : prompt;
}

function figures(report: EvaluationReport): string[] {
  const { passAt, reward, components, tokens, truncated, statuses, interval } = report;
  const { successes, trials, tasks } = report;
  const range = `${percent(interval.low)} to ${percent(interval.high)} (${confidence(interval)})`;
  const parts = Object.entries(components).map(
    ([name, { mean }]) => `${shownLine(name)} ${decimal(mean)}`,
  );
  const endings = Object.entries(statuses).map(
    ([status, count]) => `${count} ${status}${status === "infra_error" ? " (not counted)" : ""}`,
  );
  return [
    `success  ${percent(successRate(report))}, ${range}: ${successes} of ${plural(trials, "play")} of ${plural(tasks.length, "task")}`,
    ...Object.entries(passAt).map(([k, share]) => `${`pass@${k}`.padEnd(7)}  ${decimal(share)}`),
    `reward   ${[decimal(reward.mean), ...(parts.length > 1 ? parts : [])].join(" · ")}`,
    `tokens   ${tenth(tokens.mean)} a play · ${tokens.max} at most · ${percent(truncated)} truncated`,
    `ended    ${endings.join(" · ") || "none"}`,
  ];
}

/** Fewest successes first, then least reward, then in their order. Tasks without trials are last. */
function byWorst(a: TaskResult, b: TaskResult): number {
  const rate = (task: TaskResult): number => successRate(task) ?? 2;
  return rate(a) - rate(b) || (a.reward ?? 0) - (b.reward ?? 0) || a.taskIndex - b.taskIndex;
}

/** As many components as the width has room for. */
function taskTable(
  tasks: readonly TaskResult[],
  components: readonly string[],
  columns: number,
): string {
  const table = (names: readonly string[]): string =>
    tableText([
      ["task", "success", "reward", "tokens", ...names.map((name) => shownLine(name, 16))],
      ...tasks.map((task) => [
        shownLine(task.taskId, Math.max(8, columns - 30)),
        `${task.successes}/${task.trials}`,
        decimal(task.reward),
        tenth(task.tokens),
        ...names.map((name) => decimal(task.components[name] ?? null)),
      ]),
    ]);
  const width = (text: string): number =>
    text.split("\n").reduce((most, line) => Math.max(most, line.length), 0);
  // a component alone is the reward
  let names = components.length > 1 ? components : [];
  while (names.length > 0 && width(table(names)) > columns) names = names.slice(0, -1);
  return table(names);
}

function changeRow(
  name: string,
  { before, after, difference }: Change,
  format: (value: number | null) => string,
): string[] {
  return [name, format(before), format(after), signed(difference, format)];
}

function signed(value: number | null, format: (value: number | null) => string): string {
  if (value === null) return format(value);
  const sign = Math.sign(value);
  return `${sign < 0 ? "−" : sign > 0 ? "+" : "±"}${format(Math.abs(value))}`;
}

function confidence({ confidence }: Interval): string {
  return `${100 * confidence} % confidence`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function decimal(value: number | null): string {
  return value?.toFixed(3) ?? "none";
}

function tenth(value: number | null): string {
  return value?.toFixed(1) ?? "none";
}

function percent(share: number | null): string {
  return share === null ? "none" : `${(100 * share).toFixed(1)} %`;
}
