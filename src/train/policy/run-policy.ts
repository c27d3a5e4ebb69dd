/** The policy of a run as one of its checkpoints has it. */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type Device, ForgeError } from "../../../engine/index.ts";
import { readBest } from "../checkpoint/keep.ts";
import { stepName, stepOf } from "../checkpoint/place.ts";
import { readCheckpoint } from "../checkpoint/read.ts";
import { restoreModel } from "../checkpoint/restore.ts";
import { modelSection } from "../config/model-section.ts";
import type { ModelSection } from "../config/types.ts";
import { readJsonFile } from "../run/json-file.ts";
import { newestRun } from "../run/runs-folder.ts";
import type { OpenedPolicy } from "./create-policy.ts";
import { openPolicy } from "./policy.ts";

/** Which checkpoint of a run. */
export type CheckpointChoice = "latest" | "best" | { readonly step: number };

/** A policy, and the checkpoint that its weights are of. */
export interface RunPolicy extends OpenedPolicy {
  readonly checkpoint: { readonly path: string; readonly step: number };
}

/** Options of {@link openRunPolicy}. */
export interface RunPolicyOptions {
  readonly device: Device;
  /** Default `latest`. Not for the directory of a checkpoint, which is one. */
  readonly choice?: CheckpointChoice;
  /** Where the model lies that training started from. Default: what run.json says. */
  readonly base?: string;
  /** Called as the weights of the base are read. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Builds the model that a run trains, and gives it the weights of a checkpoint.
 *
 * @param path directory of a run, or of one of its checkpoints; of all runs of a name for the newest
 *
 * Errors    `run_not_found`; `checkpoint_invalid`, also where there is none; `file_invalid` for a run.json without a model;
 *           `argument_invalid` for a choice among one checkpoint, and for a base of a run that
 *           has none; those of {@link openPolicy}.
 */
export async function openRunPolicy(path: string, options: RunPolicyOptions): Promise<RunPolicy> {
  const { device, base, onProgress } = options;
  const { run, checkpoint: place } = await placeOf(resolve(path), options.choice);
  const { section, from } = modelOf(run);
  if (base !== undefined && section.create) throw withoutBase(base);
  await using checkpoint = await readCheckpoint(place);
  const policy = await openPolicy(base === undefined ? section : { ...section, directory: base }, {
    device,
    ...(base === undefined && from !== undefined && { from }),
    ...(onProgress && { onProgress }),
  });
  try {
    await restoreModel(device, checkpoint, "policy", policy.model);
    return { ...policy, checkpoint: { path: checkpoint.path, step: checkpoint.step } };
  } catch (error) {
    await policy[Symbol.asyncDispose]();
    throw error;
  }
}

async function placeOf(
  path: string,
  choice: CheckpointChoice | undefined,
): Promise<{ run: string; checkpoint: string }> {
  if (stepOf(basename(path)) !== undefined) {
    if (choice === undefined) return { run: dirname(dirname(path)), checkpoint: path };
    throw new ForgeError({
      code: "argument_invalid",
      what: "this is one checkpoint, of which none can be chosen.",
      got: path,
      fix: "give the directory of the run, or do not choose",
    });
  }
  const isRun = existsSync(join(path, "run.json"));
  const run = isRun ? path : (newestRun(dirname(path), basename(path)) ?? path);
  return { run, checkpoint: await chosen(join(run, "checkpoints"), choice) };
}

/** The folder of a checkpoint, or that of all of them for the latest. */
async function chosen(checkpoints: string, choice: CheckpointChoice = "latest"): Promise<string> {
  if (choice === "latest") return checkpoints;
  if (choice !== "best") return join(checkpoints, stepName(choice.step));
  const best = await readBest(checkpoints);
  if (best) return join(checkpoints, stepName(best.step));
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: "no checkpoint of this run was noted as the best.",
    got: checkpoints,
    why: "runs note it when they evaluate",
    fix: "take the latest, or one by its step",
  });
}

function withoutBase(got: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "this run has no base.",
    got,
    why: "its model was made from random weights",
    fix: "leave the base out",
  });
}

/** The section `model` of a run's configuration, and from where its paths are meant. */
function modelOf(run: string): { section: ModelSection; from: string | undefined } {
  const file = join(run, "run.json");
  if (!existsSync(file)) {
    throw new ForgeError({
      code: "run_not_found",
      what: "the directory holds no run.",
      got: `no run.json in ${run}`,
      fix: "name the directory of a run, runs/<name>/<timestamp>, or of one of its checkpoints",
    });
  }
  const { config, directory } = readJsonFile(file) as {
    readonly config?: { readonly model?: unknown };
    readonly directory?: string;
  };
  const read = modelSection.safeParse(config?.model);
  if (read.success) return { section: read.data, from: directory };
  throw new ForgeError({
    code: "file_invalid",
    what: "run.json does not say what model the run trains.",
    got: `${read.error.issues[0]?.path.join(".")}: ${read.error.issues[0]?.message} (${file})`,
    fix: "bring the file back from a copy",
  });
}
