/**
 * `forge-gpu bench`: how fast the engine is on this machine's adapter, and what share of its limits that is.
 */
import { Argument, Command, InvalidArgumentError } from "commander";
import type { Section } from "../bench/report.ts";
import type { Benchmark } from "../bench/suite.ts";
import { manifest } from "./manifest.ts";

const NAMES = [
  "matmul",
  "attention",
  "train",
  "tree",
  "rollout",
  "dispatch",
] as const satisfies readonly Benchmark[];

interface BenchOptions {
  readonly json?: true;
  readonly profile?: true;
  readonly rounds: number;
}

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
    .action(async (name: Benchmark | undefined, options: BenchOptions) => {
      await bench(name === undefined ? NAMES : [name], options);
    });
}

function rounds(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

async function bench(names: readonly Benchmark[], options: BenchOptions): Promise<void> {
  const { openDevice, setDefaultDevice } = await import("../../engine/index.ts");
  const { machineOf, machineText } = await import("../bench/machine.ts");
  const { sectionText } = await import("../bench/report.ts");
  const { runBenchmark } = await import("../bench/suite.ts");
  const { keepTuning } = await import("../tuning/store.ts");
  using device = await openDevice();
  keepTuning(device);
  setDefaultDevice(device);
  const print = (text: string): void => {
    if (!options.json) process.stdout.write(`${text}\n\n`);
  };
  const machine = machineOf(device, { "forge-gpu": manifest.version });
  print(machineText(machine));
  const sections: (Section & { readonly title: string })[] = [];
  for (const name of names) {
    process.stderr.write(`${name} …\n`);
    const section = await runBenchmark(device, name, { rounds: options.rounds });
    print(`### ${name}\n\n${sectionText(section)}`);
    sections.push({ title: name, ...section });
  }
  const kernels = options.profile ? await profile(print) : undefined;
  if (options.json) {
    const document = { machine, sections, ...(kernels && { kernels }) };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }

  async function profile(say: (text: string) => void): Promise<readonly object[]> {
    const { profileKernels, profileText } = await import("../bench/profile.ts");
    const { decoderTraining } = await import("../bench/train.ts");
    const training = decoderTraining(device);
    await training.step();
    const groups = await profileKernels(await training.plan());
    say(profileText(groups));
    return groups;
  }
}
