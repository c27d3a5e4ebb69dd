/** The metrics of a run as columns, which is what curves are drawn from. */
import { metricEntry } from "../../train/run/metric-catalogue.ts";
import { parseMetricsLine, type StepMetrics } from "../../train/run/metrics.ts";
import { WARNING_STEPS, warningsOf } from "../../train/run/warnings.ts";
import type { Evaluated, MetricRows, MetricWords, Sparkline, StepWarning } from "../api.ts";
import { LineFollower } from "./line-follower.ts";

/** What a run is about: the first of these that it has. */
const CURVES = ["reward/mean", "charts/episodic_return", "eval/loss", "losses/loss"];
/** How it is judged: the first of these that it has twice. */
const EVALUATIONS = ["eval/pass_at_1", "eval/success_rate", "eval/accuracy", "eval/loss"];
const SPARKLINE_POINTS = 60;

/** The columns of `metrics.jsonl`, which grow while the run goes on. */
export class MetricColumns {
  readonly #file: LineFollower;
  #generation = 0;
  #steps: number[] = [];
  #wallTimes: number[] = [];
  /** NaN where a row does not have a metric: JSON makes `null` of it. */
  #columns = new Map<string, number[]>();
  #recent: StepMetrics[] = [];
  #warnings: StepWarning[] = [];
  #unreadable = 0;

  constructor(path: string) {
    this.#file = new LineFollower(path, {
      onLine: (line) => this.#add(line.toString("utf8")),
      onLongLine: () => {
        this.#unreadable++;
      },
      onRestart: () => this.#clear(),
    });
  }

  /** Counts the times that the file was begun anew. */
  get generation(): number {
    return this.#generation;
  }

  get rows(): number {
    return this.#steps.length;
  }

  get lastStep(): number {
    return this.#steps.at(-1) ?? 0;
  }

  /** Between the first row and the last. */
  get seconds(): number {
    return Math.max(0, (this.#wallTimes.at(-1) ?? 0) - (this.#wallTimes[0] ?? 0));
  }

  /** Reads what is new. */
  follow(): Promise<void> {
    return this.#file.follow();
  }

  /** Reads it all again at the next {@link follow}. */
  restart(): void {
    this.#file.restart();
  }

  /** The rows from `from` on, or all where the reader has those of another generation. */
  rowsFrom(from: number, generation: number): MetricRows {
    const first = generation === this.#generation ? Math.min(from, this.rows) : 0;
    const columns = [...this.#columns].map(([name, values]) => [name, values.slice(first)]);
    return {
      ...{ generation: this.#generation, from: first, unreadable: this.#unreadable },
      ...{ steps: this.#steps.slice(first), wallTimes: this.#wallTimes.slice(first) },
      columns: Object.fromEntries(columns),
      words: Object.fromEntries([...this.#columns.keys()].flatMap(wordsOf)),
      warnings: this.#warnings,
    };
  }

  /** What the run is about, as a small curve. */
  sparkline(): Sparkline | null {
    for (const metric of CURVES) {
      const values = this.#finite(metric);
      if (values.length > 0) return { metric, values: thinned(values, SPARKLINE_POINTS) };
    }
    return null;
  }

  /** The first evaluation and the newest. */
  evaluation(): Evaluated | null {
    const found = EVALUATIONS.map((metric) => ({ metric, values: this.#finite(metric) }));
    const best =
      found.find(({ values }) => values.length > 1) ?? found.find((f) => f.values.length);
    const before = best?.values[0];
    if (!best || before === undefined) return null;
    const after = best.values.length > 1 ? (best.values.at(-1) as number) : null;
    return { metric: best.metric, before, after };
  }

  #finite(metric: string): number[] {
    return this.#columns.get(metric)?.filter(Number.isFinite) ?? [];
  }

  #add(line: string): void {
    const row = parseMetricsLine(line);
    if (!row) {
      this.#unreadable++;
      return;
    }
    const at = this.#steps.length;
    this.#steps.push(row.step);
    this.#wallTimes.push(row.wallTime);
    for (const name of Object.keys(row.metrics)) {
      if (!this.#columns.has(name)) this.#columns.set(name, new Array(at).fill(Number.NaN));
    }
    for (const [name, values] of this.#columns) {
      const value = row.metrics[name];
      values.push(typeof value === "number" ? value : Number.NaN);
    }
    this.#recent = [...this.#recent.slice(1 - WARNING_STEPS), row];
    for (const warning of warningsOf(this.#recent))
      this.#warnings.push({ step: row.step, ...warning });
  }

  #clear(): void {
    this.#generation++;
    [this.#steps, this.#wallTimes, this.#recent, this.#warnings] = [[], [], [], []];
    this.#columns = new Map();
    this.#unreadable = 0;
  }
}

function wordsOf(name: string): [string, MetricWords][] {
  const entry = metricEntry(name);
  if (!entry) return [];
  const { meaning, unit } = entry;
  const format = entry.format ?? (unit === "share" ? "share" : "number");
  return [[name, { meaning, unit, format }]];
}

/** Means of neighbours, so many at most. */
function thinned(values: readonly number[], most: number): number[] {
  const count = Math.min(values.length, most);
  return Array.from({ length: count }, (_, i) => {
    const own = values.slice(
      Math.floor((i * values.length) / count),
      Math.floor(((i + 1) * values.length) / count),
    );
    return own.reduce((sum, value) => sum + value, 0) / own.length;
  });
}
