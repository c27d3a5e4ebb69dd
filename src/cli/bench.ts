/**
 * `forge-gpu bench`: how fast the engine is on this machine's adapter, and what share of its limits that is; and how fast the
 * ring of a cluster is between processes, for which no adapter is needed.
 */
import { Argument, Command, Option } from "commander";
import type { Benchmark } from "../bench/suite.ts";
import type { BenchFlags } from "./benching.ts";
import type { AllreduceFlags } from "./benching-allreduce.ts";
import { wholeNumber } from "./values.ts";

const NAMES = [
  "matmul",
  "attention",
  "train",
  "tree",
  "rollout",
  "dispatch",
] as const satisfies readonly Benchmark[];

const WIRES = ["f32", "bf16", "int8"] as const;

/** The `bench` command. */
export function benchCommand(): Command {
  return new Command("bench")
    .description("measure the engine on this machine's adapter")
    .addArgument(
      new Argument("[benchmark]", "what to measure; all of them by default").choices(NAMES),
    )
    .option(
      "--rounds <count>",
      "blocks of at least 150 ms to measure for each figure",
      wholeNumber(1),
      7,
    )
    .option("--profile", "train: the time of each kernel too, by timestamps")
    .option("--json", "print one JSON document on stdout")
    .action(async (name: Benchmark | undefined, options: BenchFlags) => {
      const { runBench } = await import("./benching.ts");
      await runBench(name === undefined ? NAMES : [name], options);
    })
    .addCommand(allreduceCommand());
}

function allreduceCommand(): Command {
  return new Command("allreduce")
    .description("measure a cluster's ring between processes of this machine, beside bare TCP")
    .option("--world <count>", "processes", wholeNumber(2), 2)
    .option("--mib <size>", "size of the vector in f32", wholeNumber(1), 64)
    .addOption(new Option("--wire <type>", "what is sent").choices(WIRES).default("f32"))
    .option("--chunk-kib <size>", "size of what is sent as one", wholeNumber(2), 1024)
    .option("--threads <count>", "threads that rings go round in; 0: none", wholeNumber(0), 0)
    .option("--rounds <count>", "times that it is measured", wholeNumber(1), 15)
    .option("--json", "print one JSON document on stdout")
    .action(async (options: AllreduceFlags) => {
      const { runAllreduce } = await import("./benching-allreduce.ts");
      await runAllreduce(options);
    });
}
