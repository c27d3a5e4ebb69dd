/** What `forge-gpu train` does. */
import { relative } from "node:path";
import { openDevice, setDefaultDevice } from "../../engine/index.ts";
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
import { manifest } from "./manifest.ts";

/** Options of the command. */
export interface TrainFlags {
  readonly set?: readonly string[];
  readonly resume?: string | true;
  readonly printConfig?: boolean;
  readonly adapter?: string;
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
  await interruptible(async (signal) => {
    const result = await trainWith(loaded, flags, signal);
    if (flags.json) printJson({ ...result, versions: { "forge-gpu": manifest.version } });
    else process.stdout.write(`${resultText(result, path)}\n`);
  });
}

async function trainWith(
  loaded: LoadedConfig,
  { adapter, quiet = false, resume }: TrainFlags,
  signal: AbortSignal,
): Promise<TrainResult> {
  const view = createTrainView({ isQuiet: quiet, steps: loaded.config.train.steps });
  for (const warning of loaded.warnings) view.warn(warning);
  const device = await openDevice(adapter === undefined ? {} : { adapter });
  try {
    keepTuning(device);
    setDefaultDevice(device);
    const result = await train({
      ...{ loaded, device, view, signal, version: manifest.version },
      ...(resume !== undefined && { resume }),
    });
    view.end();
    return result;
  } catch (error) {
    view.end();
    throw error;
  } finally {
    device[Symbol.dispose]();
  }
}

/** A success and a failure, as far as there are. */
function oneOfEach(episodes: readonly EvaluatedEpisode[]): EvaluatedEpisode[] {
  return [true, false].flatMap(
    (kind) => episodes.find(({ isSuccess }) => isSuccess === kind) ?? [],
  );
}

/** What people read at the end: before and after, a success and a failure, and where everything lies. */
function resultText(result: TrainResult, config: string): string {
  const { before, after, directory, ended, steps, nondeterminism } = result;
  const place = relative(process.cwd(), directory) || ".";
  const parts: string[] = [];
  if (before && after) parts.push(comparisonText(compareEvaluations(before, after)));
  if (after && ended === "done") parts.push(transcriptsText(oneOfEach(after.transcripts)));
  if (ended !== "done")
    parts.push(
      `${ended === "time" ? "out of time" : "interrupted"} after step ${steps}; go on with:\n  forge-gpu train ${config} --resume ${place}`,
    );
  for (const reason of nondeterminism) parts.push(`not deterministic: ${reason}`);
  parts.push(`run  ${place}`);
  return parts.join("\n\n");
}
