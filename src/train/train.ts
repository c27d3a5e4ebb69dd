/** A training run from its configuration to its summary. */
import { dirname, join, resolve } from "node:path";
import { type Device, ForgeError, getDefaultDevice } from "../../engine/index.ts";
import type { Environment } from "../agent/environment.ts";
import type { Checkpoint } from "./checkpoint/contents.ts";
import { forgetBest, rewindCheckpoints } from "./checkpoint/keep.ts";
import { stepOf } from "./checkpoint/place.ts";
import { latestCheckpoint, readCheckpoint } from "./checkpoint/read.ts";
import { restoreTrained } from "./checkpoint/restore.ts";
import type { ClusterSession } from "./cluster/cluster-session.ts";
import { configWarnings } from "./config/cross-checks.ts";
import type { LoadedConfig } from "./config/load.ts";
import { loadEnvironment } from "./config/load-environment.ts";
import { parseConfig } from "./config/parse.ts";
import type { TrainConfigInput } from "./config/types.ts";
import { determinismOf } from "./determinism.ts";
import { validateEnvironment } from "./episode/validation.ts";
import { languageOf } from "./policy/language.ts";
import { openPolicy } from "./policy/policy.ts";
import type { MetricsWriter } from "./run/metrics.ts";
import {
  type RunDescription,
  RunDirectory,
  type RunOptions,
  type RunPlace,
} from "./run/run-directory.ts";
import { newestRun } from "./run/runs-folder.ts";
import { createTrainView, type TrainView } from "./run/train-view.ts";
import { TrainingRun, type TrainingSummary } from "./run-training.ts";
import { trainingOf } from "./training-of.ts";

/** Options of {@link train}. */
export interface TrainOptions {
  /** A configuration that was read from a file; see `loadConfig`. It or `config` is there. */
  readonly loaded?: LoadedConfig;
  /** A configuration; relative paths in it are meant from the working directory. */
  // biome-ignore lint/suspicious/noExplicitAny: of an environment with tasks of any type
  readonly config?: TrainConfigInput<any>;
  /** Default: the default device. */
  readonly device?: Device;
  /** Default: warnings on stderr and nothing else. */
  readonly view?: TrainView;
  /** Of the program, for run.json. Default "unknown". */
  readonly version?: string;
  /**
   * Goes on with a run: the directory of one, or of one of its checkpoints; `true` for the newest run of this name. Default: a
   * new run.
   */
  readonly resume?: string | true;
  /** Aborted: the step under way is finished and saved. */
  readonly signal?: AbortSignal;
  /** Further places for metrics, beside those of the run directory. */
  readonly writers?: readonly MetricsWriter[];
  /** Trains together with other nodes, which have the same configuration. Only rl. */
  readonly cluster?: ClusterSession;
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
 * Errors    `config_invalid`; `environment_failed` where the right answers of its environment are no successes;
 *           `file_invalid` for data that cannot be trained on; `run_not_found`; `run_locked`;
 *           `checkpoint_invalid`; those of opening the model and of the steps.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { version = "unknown", signal = new AbortController().signal } = options;
  const loaded = options.loaded ?? given(options.config);
  const device = options.device ?? (await getDefaultDevice());
  const { config } = loaded;
  const { view = createTrainView({ isQuiet: true, steps: config.train.steps }) } = options;
  view.phase("loading", "model");
  const environment = await environmentOf(loaded);
  const ownReasons = environment ? determinismOf(config, environment) : [];
  const nondeterminism = [...ownReasons, ...clusterReasons(options.cluster)];
  for (const reason of nondeterminism) view.say(`not deterministic: ${reason}`);
  const place: RunPlace = {
    version,
    adapter: { name: device.name, isSoftware: device.isSoftware },
    isDeterministic: nondeterminism.length === 0,
    nondeterminism,
  };
  const files: RunOptions = {
    tensorboard: config.run.tensorboard,
    writers: options.writers ?? [],
  };
  const from = options.resume === undefined ? undefined : placeOf(options.resume, loaded);
  // locked before anything of it is read: nobody else writes what is gone on from
  let run = from && RunDirectory.open(from.run, files);
  try {
    await using checkpoint = from && (await checkpointOf(from, view));
    await using policy = await openPolicy(config.model, {
      ...{ device, from: loaded.directory, seed: config.seed },
      isCheckpointed: config.train.isCheckpointed,
      onProgress: (done, total) =>
        view.phase("loading", `weights ${Math.round((100 * done) / total)} %`),
    });
    if (environment?.validate) {
      view.phase("loading", "the right answers");
      await validateEnvironment(environment, languageOf(policy, policy.model.maxLength));
    }
    await using training = await trainingOf({
      ...{ device, config, policy, environment, directory: loaded.directory },
      isDeterministic: ownReasons.length === 0,
      ...(options.cluster && { cluster: options.cluster }),
    });
    if (run) await goBack(run, { place, checkpoint, view });
    else {
      const runId = options.cluster?.cluster.runId;
      const description = { ...describe(loaded, place), ...(runId !== undefined && { runId }) };
      run = RunDirectory.create(config.run.directory, description, files);
    }
    const steps = new TrainingRun({
      ...{ training, config, run, view, signal, environment: environment?.name ?? "" },
      writtenWith: { "forge-gpu": version, adapter: device.name },
    });
    if (checkpoint) {
      training.prepare();
      await restoreTrained(device, checkpoint, training.trained);
      await steps.resume(checkpoint.state, checkpoint.path);
    }
    const summary = await steps.go();
    run.writeSummary({ ...summary, endedAt: new Date().toISOString() });
    return { ...summary, directory: run.path, nondeterminism };
  } finally {
    await run?.close();
    await environment?.close();
  }
}

/** A configuration as if it had been read here. Errors: `config_invalid`. */
function given(input: TrainConfigInput = {}): LoadedConfig {
  const config = parseConfig(input);
  return { config, file: "", directory: process.cwd(), warnings: configWarnings(config) };
}

/** Why a run in a cluster cannot be repeated bit for bit, beyond what its environment is to blame for. */
function clusterReasons(cluster: ClusterSession | undefined): string[] {
  if (typeof cluster?.sync !== "object") return [];
  return [
    `nodes that meet every ${cluster.sync.every} steps play with weights of their own in between, and which of them plays what depends on the machine`,
  ];
}

/** The environment of a configuration, if it has one, imported where it is a path. Errors: `config_invalid`. */
export async function environmentOf({
  config: { environment },
  directory,
}: Pick<LoadedConfig, "config" | "directory">): Promise<Environment | undefined> {
  if (typeof environment !== "string") return environment ?? undefined;
  return loadEnvironment(resolve(directory, environment));
}

/** The environment of a configuration that plays. Errors: `config_invalid`, also where there is none. */
export async function playedEnvironmentOf(
  loaded: Pick<LoadedConfig, "config" | "directory">,
): Promise<Environment> {
  const environment = await environmentOf(loaded);
  if (environment) return environment;
  throw new ForgeError({
    code: "config_invalid",
    what: "the configuration has nothing to play.",
    fix: "set `environment`",
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
async function checkpointOf(
  { run, checkpoint }: Place,
  view: TrainView,
): Promise<Checkpoint | undefined> {
  if (checkpoint !== undefined) return readCheckpoint(checkpoint);
  return latestCheckpoint(join(run, "checkpoints"), {
    onInvalid: (error) => view.warn(`a checkpoint cannot be used: ${error.message}`),
  });
}

/** Takes a run back to a checkpoint, or to its beginning: what came after it is gone on to anew. */
async function goBack(
  run: RunDirectory,
  to: {
    readonly place: RunPlace;
    readonly checkpoint: Checkpoint | undefined;
    readonly view: TrainView;
  },
): Promise<void> {
  const { place, checkpoint, view } = to;
  const { step = null, path = null } = checkpoint ?? {};
  const later = await rewindCheckpoints(run.checkpoints, step ?? -1);
  if (later.length > 0)
    view.warn(
      `goes back to step ${step}; later checkpoints are removed: steps ${later.join(", ")}`,
    );
  if (!checkpoint) await forgetBest(run.checkpoints);
  run.rewind({ ...place, step, checkpoint: path });
  view.goOn(run.readMetrics());
}

function describe({ config, directory }: LoadedConfig, place: RunPlace): RunDescription {
  const { name, seed } = config;
  return { ...place, name, seed, config: plain(config), directory };
}

/** A configuration as JSON: functions and environments by their names. */
function plain(config: object): Readonly<Record<string, unknown>> {
  return JSON.parse(
    JSON.stringify(config, (_key, value: unknown) => {
      if (typeof value === "function") return `function ${value.name || "without a name"}`;
      if (typeof value === "number" && !Number.isFinite(value)) return String(value);
      const { name, play } = Object(value) as { name?: unknown; play?: unknown };
      return typeof play === "function" ? `environment ${name}` : value;
    }),
  );
}
