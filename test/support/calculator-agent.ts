/** Runs of examples/calculator-agent, as its page says to start them. */
import { trainExample } from "./example-run.ts";

/** What is said of a run. */
export interface CalculatorRun {
  /** Share of held-out problems that are solved, sampled at temperature 1: after the warm start, and at the end. */
  readonly before: number;
  readonly after: number;
  /** Largest |Δ log-prob| between sampler and trainer under the same weights, of each step. */
  readonly mismatches: readonly number[];
}

/** Trains with `key=value` in place of what the configuration says. Writes below `folder`. */
export async function calculatorAgent(
  folder: string,
  ...settings: readonly string[]
): Promise<CalculatorRun> {
  const { of } = await trainExample("calculator-agent/calculator-agent.yaml", folder, ...settings);
  const shares = of("eval/pass_at_1");
  return {
    before: shares[0] as number,
    after: shares.at(-1) as number,
    mismatches: of("mismatch/max_abs"),
  };
}
