/** Runs of configurations in examples/, as their pages say to start them. */
import { join, parse, resolve } from "node:path";
import { expect } from "vitest";
import { linesOf, runsOf, trainBy } from "./training-run.ts";

const EXAMPLES = resolve(import.meta.dirname, "../../examples");

/** What a run wrote down. */
export interface ExampleRun {
  /** Values of a metric, in the order of steps; steps without it are left out. */
  of(metric: string): readonly number[];
  /** What the command said. */
  readonly output: string;
}

/**
 * Trains with `key=value` in place of what the configuration says; a run that fails fails the test.
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
  const { code, stderr, stdout } = await trainBy(
    join(EXAMPLES, config),
    ...[...own, ...settings].flatMap((setting) => ["--set", setting]),
  );
  expect(code, stderr).toBe(0);
  const run = runsOf(folder, parse(config).name).at(-1) as string;
  const lines = linesOf(join(run, "metrics.jsonl"));
  return {
    of: (metric) => lines.flatMap((line) => (line[metric] as number) ?? []),
    output: stdout + stderr,
  };
}
