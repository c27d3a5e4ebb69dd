/**
 * `forge-gpu bench`: how fast the engine is on this machine's adapter, and what share of its limits that is.
 */
import { Argument, Command, InvalidArgumentError } from "commander";
import type { Benchmark } from "../bench/suite.ts";
import type { BenchFlags } from "./benching.ts";

const NAMES = [
  "matmul",
  "attention",
  "train",
  "tree",
  "rollout",
  "dispatch",
] as const satisfies readonly Benchmark[];

/** The `bench` command. */
export function benchCommand(): Command {
  return new Command("bench")
    .description("measure the engine on this machine's adapter")
    .addArgument(
      new Argument("[benchmark]", "what to measure; all of them by default").choices(NAMES),
    )
    .option("--rounds <count>", "blocks of at least 150 ms to measure for each figure", rounds, 7)
    .option("--profile", "train: the time of each kernel too, by timestamps")
    .option("--json", "print one JSON document on stdout")
    .action(async (name: Benchmark | undefined, options: BenchFlags) => {
      const { runBench } = await import("./benching.ts");
      await runBench(name === undefined ? NAMES : [name], options);
    });
}

function rounds(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError("It must be a whole number from 1.");
}
