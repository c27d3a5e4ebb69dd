/** A training run from its configuration to its summary. */
import { dirname, join, resolve } from "node:path";
import { type Device, ForgeError } from "../../engine/index.ts";
import type { Environment } from "../agent/environment.ts";
import type { Checkpoint } from "./checkpoint/contents.ts";
import { stepOf } from "./checkpoint/place.ts";
import { latestCheckpoint, readCheckpoint } from "./checkpoint/read.ts";
import { restoreTrained } from "./checkpoint/restore.ts";
import { algorithmOf } from "./config/algorithm-section.ts";
import type { LoadedConfig } from "./config/load.ts";
import { loadEnvironment } from "./config/load-environment.ts";
import { determinismOf } from "./determinism.ts";
import { openPolicy } from "./policy.ts";
import { RlTraining } from "./rl-training.ts";
import { newestRun, RunDirectory, type RunPlace } from "./run/run-directory.ts";
import type { TrainView } from "./run/train-view.ts";
import { TrainingRun, type TrainingSummary } from "./run-training.ts";

/** Options of {@link train}. */
export interface TrainOptions {
  readonly loaded: LoadedConfig;
  readonly device: Device;
  readonly view: TrainView;
  /** Version of forge-gpu, for run.json. */
  readonly version: string;
  /**
   * Goes on with a run: the directory of one, or of one of its checkpoints; `true` for the newest run of this name. Default: a
   * new run.
   */
  readonly resume?: string | true;
  /** Aborted: the step under way is finished and saved. */
  readonly signal: AbortSignal;
}

/** How a run ended, and where it lies. */
export interface TrainResult extends TrainingSummary {
  readonly directory: string;
  /** Why the run cannot be repeated bit for bit; empty if it can. */
  readonly nondeterminism: readonly string[];
}

/**
 * Trains as a configuration says.
 *
 * Errors    `config_invalid`; `run_not_found`; `run_locked`; `checkpoint_invalid`; those of opening the model and of the steps.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { loaded, device, view, version, signal } = options;
  const { config } = loaded;
  view.phase("loading", "model");
  const environment = await environmentOf(loaded);
  const nondeterminism = determinismOf(config, environment);
  const place: RunPlace = {
    version,
    adapter: { name: device.name, isSoftware: device.isSoftware },
    isDeterministic: nondeterminism.length === 0,
    nondeterminism,
  };
  const from = options.resume === undefined ? undefined : placeOf(options.resume, loaded);
  await using checkpoint = from && (await checkpointOf(from));
  await using policy = await openPolicy(config.model, {
    ...{ device, from: loaded.directory, seed: config.seed },
    onProgress: (done, total) =>
      view.phase("loading", `weights ${Math.round((100 * done) / total)} %`),
  });
  const run = openRun(options, place, from, checkpoint);
  const training = new RlTraining({
    ...{ device, config, policy, environment, algorithm: algorithmOf(config.algorithm) },
    isDeterministic: place.isDeterministic,
  });
  try {
    const steps = new TrainingRun({
      ...{ training, config, run, view, signal, environment: environment.name },
      writtenWith: { "forge-gpu": version, adapter: device.name },
    });
    if (checkpoint) {
      training.prepare();
      await restoreTrained(device, checkpoint, training.trained);
      await steps.resume(checkpoint.state);
    }
    const summary = await steps.go();
    run.writeSummary({ ...summary, endedAt: new Date().toISOString() });
    return { ...summary, directory: run.path, nondeterminism };
  } finally {
    await training.close();
    await run.close();
  }
}

/** The environment of a configuration, imported where it is a path. Errors: `config_invalid`. */
export async function environmentOf({ config, directory }: LoadedConfig): Promise<Environment> {
  const { environment } = config;
  if (typeof environment === "string") return loadEnvironment(resolve(directory, environment));
  if (environment) return environment;
  throw new ForgeError({
    code: "config_invalid",
    what: "the configuration has no environment.",
    fix: "set `environment` to the path of a module that exports one",
  });
}

/** Where to go on: the directory of the run, and a checkpoint of it if one was named. */
interface Place {
  readonly run: string;
  readonly checkpoint: string | undefined;
}

function placeOf(resume: string | true, { config }: LoadedConfig): Place {
  if (resume !== true) {
    const path = resolve(resume);
    const isStep = stepOf(path.split(/[\\/]/).at(-1) ?? "") !== undefined;
    return isStep
      ? { run: dirname(dirname(path)), checkpoint: path }
      : { run: path, checkpoint: undefined };
  }
  const run = newestRun(config.run.directory, config.name);
  if (run !== undefined) return { run, checkpoint: undefined };
  throw new ForgeError({
    code: "run_not_found",
    what: "there is no run to go on with.",
    got: `nothing in ${resolve(config.run.directory, config.name)}`,
    fix: "leave --resume out to begin one, or name the directory of a run",
  });
}

/** The checkpoint to go on from; undefined when the run was stopped before its first. */
async function checkpointOf({ run, checkpoint }: Place): Promise<Checkpoint | undefined> {
  return checkpoint === undefined
    ? latestCheckpoint(join(run, "checkpoints"))
    : readCheckpoint(checkpoint);
}

function openRun(
  { loaded: { config } }: TrainOptions,
  place: RunPlace,
  from: Place | undefined,
  checkpoint: Checkpoint | undefined,
): RunDirectory {
  const { tensorboard } = config.run;
  if (!from) {
    const description = { ...place, name: config.name, seed: config.seed, config: plain(config) };
    return RunDirectory.create(config.run.directory, description, { tensorboard });
  }
  const run = RunDirectory.open(from.run, { tensorboard });
  const step = checkpoint?.step ?? 0;
  // before the first checkpoint a run begins again
  run.rewind({ ...place, step, checkpoint: checkpoint?.path ?? "" });
  return run;
}

/** A configuration as JSON: functions and environments by their names. */
function plain(config: object): Readonly<Record<string, unknown>> {
  return JSON.parse(
    JSON.stringify(config, (_key, value: unknown) => {
      if (typeof value === "function") return `function ${value.name}`;
      const { name, play } = Object(value) as { name?: unknown; play?: unknown };
      return typeof play === "function" ? String(name) : value;
    }),
  );
}
