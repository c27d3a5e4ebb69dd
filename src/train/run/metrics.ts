/** The metrics of a run: one flat record of numbers a step, and its line in `metrics.jsonl`. */
import { ForgeError } from "../../../engine/error.ts";

/** Numbers by name; the names are those of {@link METRICS}, `reward/<component>` and whatever a user adds. */
export type Metrics = Readonly<Record<string, number>>;

/** The metrics of one step. */
export interface StepMetrics {
  /** Optimizer step, counted from 1; 0 is what was measured before the first. */
  readonly step: number;
  /** When they were written, in seconds since 1970. */
  readonly wallTime: number;
  readonly metrics: Metrics;
}

/** Where metrics go: a file, a tracker. Numbers may be NaN or infinite. */
export interface MetricsWriter {
  /** Writes the metrics of a step; `wallTime` is in seconds since 1970. */
  write(step: number, metrics: Metrics, wallTime: number): void | Promise<void>;
  /** Returns once all that was written would outlive the machine's power. */
  flush(): void | Promise<void>;
  /** Ends the writing. */
  close(): void | Promise<void>;
}

const RESERVED: readonly string[] = ["step", "wall_time", "non_finite"];

/**
 * The metrics of a step as one line of JSON, without its end: `{"step":1,"wall_time":…,"losses/policy_loss":…}`.
 *
 * JSON has no NaN and no infinity, and readers stop at those that JavaScript or Python would write. Such a number is `null`,
 * and a last key says which it was: `"non_finite":{"losses/grad_norm":"Infinity"}`.
 *
 * @throws ForgeError `argument_invalid` for a metric with the name of one of the line's own keys
 */
export function metricsLine({ step, wallTime, metrics }: StepMetrics): string {
  const taken = RESERVED.find((name) => name in metrics);
  if (taken !== undefined) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "a metric has the name of a key that every line has",
      got: taken,
      fix: `put it into a group: "custom/${taken}"`,
    });
  }
  const unusual = Object.entries(metrics).filter(([, value]) => !Number.isFinite(value));
  return JSON.stringify({
    step,
    wall_time: wallTime,
    ...metrics,
    ...(unusual.length > 0 && {
      non_finite: Object.fromEntries(unusual.map(([name, value]) => [name, String(value)])),
    }),
  });
}

/** What {@link metricsLine} wrote; undefined for a line that is torn or something else. */
export function parseMetricsLine(line: string): StepMetrics | undefined {
  try {
    const { step, wall_time, non_finite = {}, ...metrics } = JSON.parse(line);
    if (!Number.isInteger(step)) return undefined;
    for (const [name, text] of Object.entries(non_finite)) metrics[name] = Number(text);
    return { step, wallTime: Number(wall_time), metrics };
  } catch {
    return undefined;
  }
}
