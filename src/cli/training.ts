/** What `forge-gpu train` does. */
import { dirname, relative } from "node:path";
import { openDevice, setDefaultDevice } from "../../engine/index.ts";
import { wayFlags } from "../train/cluster/way.ts";
import { type LoadedConfig, loadConfig } from "../train/config/load.ts";
import { printConfig } from "../train/config/print.ts";
import { compareEvaluations } from "../train/evaluation/comparison.ts";
import { comparisonText, transcriptsText } from "../train/evaluation/printing.ts";
import type { EvaluatedEpisode } from "../train/evaluation/report.ts";
import { createTrainView } from "../train/run/train-view.ts";
import { type TrainResult, train } from "../train/train.ts";
import { keepTuning } from "../tuning/store.ts";
import { interruptible } from "./interrupt.ts";
import { printJson } from "./json.ts";
import {
  type LocalClusterFlags,
  type LocalClusterOptions,
  startLocalCluster,
  wayOfFlags,
} from "./local-cluster.ts";
import { manifest } from "./manifest.ts";
import { shellWord } from "./shell-word.ts";

/** Options of the command. */
export interface TrainFlags extends LocalClusterFlags {
  readonly resume?: string | true;
  readonly printConfig?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Trains, or prints the configuration. */
export async function runTrain(path: string, flags: TrainFlags): Promise<void> {
  const loaded = await loadConfig(path, { overrides: flags.set ?? [] });
  if (flags.printConfig) {
    process.stdout.write(printConfig(loaded.config));
    return;
  }
  const options = { ...flags, way: wayOfFlags(flags) };
  await interruptible(async (signal) => {
    const result = await trainWith(loaded, options, signal);
    const resume =
      result.ended === "done" ? undefined : resumption(path, options, result.directory);
    if (flags.json) printJson({ ...result, resume, versions: { "forge-gpu": manifest.version } });
    else process.stdout.write(`${resultText(result, resume)}\n`);
  });
}

/** With the flags understood. */
type RunOptions = TrainFlags & LocalClusterOptions;

async function trainWith(
  loaded: LoadedConfig,
  flags: RunOptions,
  signal: AbortSignal,
): Promise<TrainResult> {
  const { adapter, quiet = false, resume, nodes = 1 } = flags;
  // drivers speak while they are opened, into whatever is drawn then
  const device = await openDevice(adapter === undefined ? {} : { adapter });
  const view = createTrainView({ isQuiet: quiet, steps: loaded.config.train.steps });
  for (const warning of loaded.warnings) view.warn(warning);
  const onInterrupt = (): void =>
    view.say("interrupted: the step under way is finished and saved; once more ends at once");
  signal.addEventListener("abort", onInterrupt, { once: true });
  try {
    keepTuning(device);
    setDefaultDevice(device);
    await using local =
      nodes > 1 ? await startLocalCluster(loaded, flags, { device, view }) : undefined;
    const result = await train({
      ...{ loaded, device, view, signal, version: manifest.version },
      ...(resume !== undefined && { resume }),
      ...(local && { cluster: local.session }),
    });
    if (result.ended === "done") await local?.finish();
    view.end("");
    return result;
  } catch (error) {
    view.end();
    throw error;
  } finally {
    signal.removeEventListener("abort", onInterrupt);
    device[Symbol.dispose]();
  }
}

/** A success and a failure, as far as there are. */
function oneOfEach(episodes: readonly EvaluatedEpisode[]): EvaluatedEpisode[] {
  return [true, false].flatMap(
    (kind) => episodes.find(({ isSuccess }) => isSuccess === kind) ?? [],
  );
}

/** The command that goes on with a run, as a shell takes it. */
function resumption(
  config: string,
  { set = [], adapter, nodes, way, wire }: RunOptions,
  directory: string,
): string {
  return [
    ...["forge-gpu", "train", config, "--resume", placeText(directory)],
    ...(nodes === undefined ? [] : ["--nodes", `${nodes}`, ...wayFlags(way), "--wire", wire]),
    ...set.flatMap((override) => ["--set", override]),
    ...(adapter === undefined ? [] : ["--adapter", adapter]),
  ]
    .map(shellWord)
    .join(" ");
}

function placeText(directory: string): string {
  return relative(process.cwd(), directory) || ".";
}

/** What people read at the end: before and after, a success and a failure, and where everything lies. */
function resultText(result: TrainResult, resume: string | undefined): string {
  const { before, after, directory, ended, steps } = result;
  const parts: string[] = [];
  if (before && after) parts.push(comparisonText(compareEvaluations(before, after)));
  if (after && ended === "done") parts.push(transcriptsText(oneOfEach(after.transcripts)));
  if (resume !== undefined)
    parts.push(
      `${ended === "time" ? "out of time" : "interrupted"} after step ${steps}; go on with:\n  ${resume}`,
    );
  const runs = shellWord(placeText(dirname(dirname(directory))));
  parts.push(`run  ${placeText(directory)}\nsee  forge-gpu dashboard ${runs}`);
  return parts.join("\n\n");
}
