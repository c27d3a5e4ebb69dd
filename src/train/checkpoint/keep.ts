/** Which checkpoints stay: the newest, and the best so far; and none beyond the step that a run goes back to. */
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ForgeError } from "../../../engine/index.ts";
import { exists, removeFolder } from "../../models/folder.ts";
import { readJsonFile, writeJsonFile } from "../run/json-file.ts";
import { runError } from "../run/run-error.ts";
import { listSteps, stepName } from "./place.ts";
import { isValidStep } from "./read.ts";

/** The checkpoint that was best by an evaluation. */
export interface BestCheckpoint {
  readonly step: number;
  /** Higher is better. */
  readonly score: number;
}

const BEST_FILE = "best.json";

/**
 * Notes that the checkpoint of a step is the best so far; replaces the note before it as a whole.
 *
 * Errors    `argument_invalid` for a score that is no number; `disk_full`, `run_directory_unwritable`.
 */
export function recordBest(directory: string, { step, score }: BestCheckpoint): void {
  stepName(step);
  if (!Number.isFinite(score)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "recordBest: the score is no number.",
      got: String(score),
      fix: "record what an evaluation with at least one episode gave",
    });
  }
  writeJsonFile(join(directory, BEST_FILE), { step, score });
}

/** The best checkpoint so far, if one was noted. Errors: `file_invalid`. */
export async function readBest(directory: string): Promise<BestCheckpoint | undefined> {
  const file = join(directory, BEST_FILE);
  if (!(await exists(file))) return undefined;
  const { step, score } = readJsonFile(file);
  if (Number.isSafeInteger(step) && typeof score === "number")
    return { step: step as number, score };
  throw new ForgeError({
    code: "file_invalid",
    what: `${BEST_FILE} does not say which checkpoint is the best.`,
    got: `${file}: step ${step}, score ${score}`,
    fix: "delete the file: the next evaluation writes it anew",
  });
}

/** Deletes that note, if there is one. Errors: `run_directory_unwritable`. */
export async function forgetBest(directory: string): Promise<void> {
  const file = join(directory, BEST_FILE);
  await rm(file, { force: true }).catch((error: unknown) => {
    throw runError(error, file);
  });
}

/**
 * Removes the checkpoints after a step, for a run that goes back to it: they are of another future than the one that is to
 * come. Returns their steps. The newest goes first: whoever is killed in between leaves a run without a gap.
 *
 * Errors    `run_directory_unwritable`.
 */
export async function rewindCheckpoints(directory: string, step: number): Promise<number[]> {
  const folder = resolve(directory);
  const later = (await listSteps(folder)).filter((own) => own > step);
  for (const own of later) await removeStep(folder, own);
  return later;
}

async function removeStep(folder: string, step: number): Promise<void> {
  const path = join(folder, stepName(step));
  await removeFolder(path).catch((error: unknown) => {
    throw runError(error, path);
  });
}

/** Options of {@link pruneCheckpoints}. */
export interface PruneOptions {
  /** How many of the newest stay, at least 1; infinity for all. */
  readonly keep: number;
  /** The step of the best, which stays too. Default: that of {@link recordBest}. */
  readonly best?: number;
}

/**
 * Removes the checkpoints that are neither among the newest nor the best, and returns their steps. If none of those that
 * stay is valid nothing is removed: the only one to resume from might be among the others. Call it after `writeCheckpoint`
 * has returned; it reads and hashes one checkpoint.
 *
 * Errors    `argument_invalid`; `run_directory_unwritable`; `file_invalid` when the note of the best cannot be read.
 */
export async function pruneCheckpoints(
  directory: string,
  { keep, best }: PruneOptions,
): Promise<number[]> {
  if (!(keep >= 1)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "pruneCheckpoints: at least one checkpoint must stay.",
      got: `keep ${keep}`,
      fix: "pass 1 or more, or infinity to keep all",
    });
  }
  const folder = resolve(directory);
  const steps = await listSteps(folder);
  const kept = best ?? (await readBest(folder))?.step;
  const stays = (step: number, at: number): boolean => at < keep || step === kept;
  const removed = steps.filter((step, at) => !stays(step, at));
  if (removed.length === 0 || !(await hasValid(folder, steps.filter(stays)))) return [];
  for (const step of removed) await removeStep(folder, step);
  return removed;
}

async function hasValid(folder: string, steps: readonly number[]): Promise<boolean> {
  for (const step of steps) if (await isValidStep(folder, step)) return true;
  return false;
}
