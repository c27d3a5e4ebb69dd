/** Runs of configurations in examples/, as their pages say to start them. */
import { join, parse, resolve } from "node:path";
import { expect } from "vitest";
import { linesOf, runsOf, trainBy } from "./training-run.ts";

/** |Δ log-prob| of a token between sampler and trainer. */
const MISMATCH = 1e-4;

const EXAMPLES = resolve(import.meta.dirname, "../../examples");

/** What a run wrote down. */
export interface ExampleRun {
  /** Values of a metric, in the order of steps; steps without it are left out. */
  of(metric: string): readonly number[];
  /** The first and the last of them: of an evaluation, after the warm start and at the end. */
  change(metric: string): { readonly before: number; readonly after: number };
}

/**
 * Trains with `key=value` in place of what the configuration says. A run that fails fails the test, and so does one in which
 * sampler and trainer, under the same weights, disagree at any step.
 *
 * @param config path in examples/
 * @param folder that it may write to
 */
export async function trainExample(
  config: string,
  folder: string,
  ...settings: readonly string[]
): Promise<ExampleRun> {
  const own = [
    `run.directory=${join(folder, "runs")}`,
    ...["run.rolloutsEvery=0", "checkpoint.every=0"],
  ];
  const { code, stderr } = await trainBy(
    join(EXAMPLES, config),
    ...[...own, ...settings].flatMap((setting) => ["--set", setting]),
  );
  expect(code, stderr).toBe(0);
  const name = parse(config).name.replace(/\.config$/, "");
  const run = runsOf(folder, name).at(-1) as string;
  const lines = linesOf(join(run, "metrics.jsonl"));
  const of = (metric: string): number[] =>
    lines.flatMap((line) => (line[metric] as number | null | undefined) ?? []);
  const mismatches = of("mismatch/max_abs");
  expect(mismatches.length).toBeGreaterThan(0);
  expect(Math.max(...mismatches)).toBeLessThanOrEqual(MISMATCH);
  return {
    of,
    change: (metric) => {
      const values = of(metric);
      expect(values.length, metric).toBeGreaterThan(1);
      return { before: values[0] as number, after: values.at(-1) as number };
    },
  };
}
