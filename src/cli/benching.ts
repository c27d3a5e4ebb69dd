/** What `forge-gpu bench` does. */
import { type Device, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { machineOf, machineText } from "../bench/machine.ts";
import { profileKernels, profileText } from "../bench/profile.ts";
import { type Section, sectionText } from "../bench/report.ts";
import { type Benchmark, runBenchmark } from "../bench/suite.ts";
import { decoderTraining } from "../bench/train.ts";
import { keepTuning } from "../tuning/store.ts";
import { manifest } from "./manifest.ts";

/** Options of the command. */
export interface BenchFlags {
  readonly json?: true;
  readonly profile?: true;
  readonly rounds: number;
}

/** Measures, and prints tables or one JSON document. */
export async function runBench(names: readonly Benchmark[], flags: BenchFlags): Promise<void> {
  using device = await openDevice();
  keepTuning(device);
  setDefaultDevice(device);
  const print = (text: string): void => {
    if (!flags.json) process.stdout.write(`${text}\n\n`);
  };
  const machine = machineOf(device, { "forge-gpu": manifest.version });
  print(machineText(machine));
  const sections: (Section & { readonly title: string })[] = [];
  for (const name of names) {
    process.stderr.write(`${name} …\n`);
    const section = await runBenchmark(device, name, { rounds: flags.rounds });
    print(`### ${name}\n\n${sectionText(section)}`);
    sections.push({ title: name, ...section });
  }
  const kernels = flags.profile ? await profile(device, print) : undefined;
  if (flags.json) {
    const document = { machine, sections, ...(kernels && { kernels }) };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  }
}

async function profile(device: Device, print: (text: string) => void): Promise<readonly object[]> {
  const training = decoderTraining(device);
  await training.step();
  const groups = await profileKernels(await training.plan());
  print(profileText(groups));
  return groups;
}
