/** Runs of examples/reverse-text, as its page says to start them. */
import { trainExample } from "./example-run.ts";

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
  const { of } = await trainExample("reverse-text/reverse-text.yaml", folder, ...settings);
  const rewards = of("eval/reward_mean");
  return {
    before: rewards[0] as number,
    after: rewards.at(-1) as number,
    mismatches: of("mismatch/max_abs"),
  };
}
