/** Where the checkpoints of a run lie: a directory with one folder each, `step-000123`. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ForgeError } from "../../../engine/index.ts";
import { recoverFolder, removeDrafts, removeFolder } from "../../models/folder.ts";
import { checkpointInvalid } from "./invalid.ts";

const STEP = /^step-(\d{6,16})$/;
/** A folder that was put aside by a writer that was killed then. */
const PUT_ASIDE = /^\.(step-\d{6,16})\.old$/;

/** The name of the folder of a step. Errors: `argument_invalid` for what is no step. */
export function stepName(step: number): string {
  if (Number.isSafeInteger(step) && step >= 0) return `step-${String(step).padStart(6, "0")}`;
  throw new ForgeError({
    code: "argument_invalid",
    what: "checkpoints are of whole steps, from 0 on.",
    got: String(step),
  });
}

/** The step of such a name; undefined for any other. */
export function stepOf(name: string): number | undefined {
  const [, digits] = STEP.exec(name) ?? [];
  return digits !== undefined && name === stepName(Number(digits)) ? Number(digits) : undefined;
}

/**
 * The steps that have a folder, the newest first; none where there is no directory. What is in them is not looked at.
 *
 * Errors    `checkpoint_invalid` for a directory that cannot be read.
 */
export async function listSteps(directory: string): Promise<number[]> {
  for (const name of await listNames(directory)) {
    const [, aside] = PUT_ASIDE.exec(name) ?? [];
    // fails on a disk that can only be read
    if (aside !== undefined) await recoverFolder(join(directory, aside)).catch(() => {});
  }
  const names = await listNames(directory);
  return names.flatMap((name) => stepOf(name) ?? []).sort((a, b) => b - a);
}

/** Removes what killed writers have left in a directory, but for folders that {@link listSteps} gives their names back. */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await listNames(directory);
  await removeDrafts(directory, names.filter(isDraft));
  for (const name of names) {
    const [, aside] = PUT_ASIDE.exec(name) ?? [];
    if (aside !== undefined && names.includes(aside)) await removeFolder(join(directory, name));
  }
}

function isDraft(name: string): boolean {
  return name.startsWith(".step-");
}

async function listNames(directory: string): Promise<string[]> {
  return readdir(directory).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return [];
    throw checkpointInvalid(directory, {
      ...{ file: "the directory", what: "cannot be read", got: cause.message, cause },
      fix: "let this user read the run's directory",
    });
  });
}
