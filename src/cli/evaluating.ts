/** What `forge-gpu eval` does: opens a policy, plays tasks with it, and prints what they come to. */
import { resolve } from "node:path";
import { type Device, ForgeError, openDevice, setDefaultDevice } from "../../engine/index.ts";
import { type LoadedConfig, loadConfig } from "../train/config/load.ts";
import type { TrainConfig } from "../train/config/types.ts";
import { determinismOf } from "../train/determinism.ts";
import { openRollout, playHeldOut } from "../train/episode/playing.ts";
import { evaluationText, transcriptsText } from "../train/evaluation/printing.ts";
import { type EvaluationReport, evaluationReport } from "../train/evaluation/report.ts";
import type { OpenedPolicy } from "../train/policy/create-policy.ts";
import { openPolicy } from "../train/policy/policy.ts";
import { openRunPolicy, type RunPolicy } from "../train/policy/run-policy.ts";
import { newestRun } from "../train/run/runs-folder.ts";
import { environmentOf } from "../train/train.ts";
import { keepTuning } from "../tuning/store.ts";
import { interruptible } from "./interrupt.ts";
import { printJson } from "./json.ts";
import { LateProgress } from "./late-progress.ts";
import { manifest } from "./manifest.ts";

/** What the command line says. */
export interface EvalFlags {
  readonly run?: string | true;
  readonly checkpoint?: string;
  readonly model?: string;
  readonly tasks?: number;
  readonly samples?: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly set?: readonly string[];
  readonly transcripts: number;
  readonly all?: true;
  readonly adapter?: string;
  readonly json?: true;
}

/** Runs the command. */
export async function evaluateConfig(path: string, flags: EvalFlags): Promise<void> {
  const loaded = await loadConfig(path, { overrides: overridesOf(flags) });
  for (const warning of loaded.warnings) process.stderr.write(`warning  ${warning}\n`);
  await interruptible(async (signal) => {
    using device = await openDevice(flags.adapter === undefined ? {} : { adapter: flags.adapter });
    keepTuning(device);
    setDefaultDevice(device);
    await using policy = await policyOf(loaded, flags, device);
    const report = await played(loaded, policy, { flags, device, signal });
    if (!flags.json) {
      process.stdout.write(`${reportText(report, flags)}\n`);
      return;
    }
    const { from } = policy;
    const checkpoint = "checkpoint" in policy ? policy.checkpoint : null;
    printJson({
      policy: { checkpoint, model: from?.path ?? null },
      ...report,
      adapter: { name: device.name, isSoftware: device.isSoftware },
      versions: { "forge-gpu": manifest.version, node: process.version },
    });
  });
}

/** Flags that stand for a key are checked as the key is. */
function overridesOf({ set = [], tasks, samples, temperature, seed }: EvalFlags): string[] {
  const keys = {
    ...{ "eval.tasks": tasks, "eval.samples": samples },
    ...{ "eval.temperature": temperature, seed },
  };
  const given = Object.entries(keys).filter(([, value]) => value !== undefined);
  return [...set, ...given.map(([key, value]) => `${key}=${value}`)];
}

async function policyOf(
  { config, directory }: LoadedConfig,
  { run, checkpoint, model }: EvalFlags,
  device: Device,
): Promise<OpenedPolicy | RunPolicy> {
  const progress = new LateProgress("loading the model", "B");
  const onProgress = (done: number, total: number): void => progress.update(done, total);
  const place = run === true ? newestRunOf(config) : (run ?? checkpoint);
  const given = { ...config.model, directory: model ?? null, create: null, lora: null };
  const opened =
    place !== undefined
      ? openRunPolicy(place, { device, onProgress })
      : model !== undefined
        ? openPolicy(given, { device, onProgress })
        : openPolicy(config.model, { device, onProgress, from: directory, seed: config.seed });
  return opened.finally(() => progress.end());
}

function newestRunOf({ name, run: { directory } }: TrainConfig): string {
  const run = newestRun(directory, name);
  if (run !== undefined) return run;
  throw new ForgeError({
    code: "run_not_found",
    what: "there is no run whose policy could be played.",
    got: `nothing in ${resolve(directory, name)}`,
    fix: "name the directory of a run, or leave --run out to play the model that training begins with",
  });
}

async function played(
  loaded: LoadedConfig,
  policy: OpenedPolicy | RunPolicy,
  context: {
    readonly flags: EvalFlags;
    readonly device: Device;
    readonly signal: AbortSignal;
  },
): Promise<EvaluationReport> {
  const { config } = loaded;
  const { flags, device, signal } = context;
  const environment = await environmentOf(loaded);
  if (!environment || environment.eval.length === 0) throw nothingToPlay(environment?.name);
  const isDeterministic = determinismOf(config, environment).length === 0;
  const rollout = openRollout({ device, config, policy, isDeterministic });
  const progress = new LateProgress("playing", "episodes");
  try {
    const episodes = await playHeldOut({
      ...{ rollout, config, environment, signal },
      onProgress: (done, total) => progress.update(done, total),
    });
    return evaluationReport(episodes, {
      ...{ environment: environment.name, seed: config.seed },
      temperature: config.eval.temperature,
      policyVersion: "checkpoint" in policy ? policy.checkpoint.step : 0,
      transcripts: flags.transcripts,
    });
  } finally {
    progress.end();
    await rollout.close();
    await environment.close();
  }
}

function reportText(report: EvaluationReport, { all }: EvalFlags): string {
  const { columns = 80 } = process.stdout;
  const figures = evaluationText(report, { columns, ...(all && { rows: Infinity }) });
  const { transcripts } = report;
  return transcripts.length > 0 ? `${figures}\n\n${transcriptsText(transcripts)}` : figures;
}

function nothingToPlay(environment: string | undefined): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: "there is nothing to play.",
    got: environment === undefined ? "no environment" : `no held-out tasks in "${environment}"`,
    fix: "set `environment` to a module whose environment has tasks.eval",
  });
}
