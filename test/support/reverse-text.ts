/** Runs of examples/reverse-text, as its page says to start them. */
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { linesOf, runsOf, trainBy } from "./training-run.ts";

const CONFIG = resolve(import.meta.dirname, "../../examples/reverse-text/reverse-text.yaml");

/** What is said of a run. */
export interface ReverseTextRun {
  /** Share of letters in their places, of held-out words sampled at temperature 1: after the warm start, and at the end. */
  readonly before: number;
  readonly after: number;
  /** Largest |Δ log-prob| between sampler and trainer under the same weights, of each step. */
  readonly mismatches: readonly number[];
}

/** Trains with `key=value` in place of what the configuration says. Writes below `folder`. */
export async function reverseText(
  folder: string,
  ...settings: readonly string[]
): Promise<ReverseTextRun> {
  const own = [
    `run.directory=${join(folder, "runs")}`,
    "run.rolloutsEvery=0",
    "checkpoint.every=0",
  ];
  const { code, stderr } = await trainBy(
    CONFIG,
    ...[...own, ...settings].flatMap((setting) => ["--set", setting]),
  );
  expect(code, stderr).toBe(0);
  const lines = linesOf(join(runsOf(folder, "reverse-text").at(-1) as string, "metrics.jsonl"));
  const of = (key: string): number[] => lines.flatMap((line) => (line[key] as number) ?? []);
  const rewards = of("eval/reward_mean");
  return {
    before: rewards[0] as number,
    after: rewards.at(-1) as number,
    mismatches: of("mismatch/max_abs"),
  };
}
