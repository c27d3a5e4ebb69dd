/** A folder that is written as a whole: whoever reads it finds the old one or the new one, never a part. */
import { mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { ForgeError } from "../../engine/error.ts";

/**
 * Fills a new folder by `fill` and gives it the name `path`. A folder that has it is replaced if `replaces`; else it must be
 * empty.
 *
 * The folder is filled under another name beside `path` and synced to the disk; only then is it renamed. No file system
 * has one call that puts a folder in the place of another, so the old one is renamed first: who is killed between the two
 * calls leaves the old one under the name that {@link recoverFolder} knows.
 */
export async function writeFolder(
  path: string,
  replaces: boolean,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const draft = claimDraft(path);
  try {
    await makeFolder(parent);
    await recoverFolder(path);
    const ours = (name: string): boolean => name.startsWith(`.${basename(path)}.`);
    await removeDrafts(parent, (await readdir(parent)).filter(ours));
    await mkdir(draft);
    await fill(draft);
    await syncFolder(draft);
    if (replaces) await replaceFolder(path, draft);
    else await takeName(path, draft);
  } catch (error) {
    await recoverFolder(path);
    await rm(draft, { recursive: true, force: true });
    throw error;
  } finally {
    drafts.delete(draft);
  }
  await syncFolder(parent);
  await removeFolder(oldOf(path));
}

/**
 * Removes a folder, if it is there: its name is gone before its first file is, so that nobody who reads it by name finds a
 * part, and of two who remove it each finds all or nothing.
 */
export async function removeFolder(path: string): Promise<void> {
  const name = basename(path).replace(/^\./, "");
  const draft = claimDraft(join(dirname(path), `${name}-${removals++}`));
  try {
    await rename(path, draft).catch(unlessMissing);
    await rm(draft, { recursive: true, force: true });
  } finally {
    drafts.delete(draft);
  }
}

/** How many folders this process has removed. */
let removals = 0;

/** Writes a new file and syncs it to the disk. */
export async function writeFile(
  path: string,
  parts: AsyncIterable<Uint8Array> | Iterable<string | Uint8Array>,
): Promise<void> {
  const handle = await open(path, "wx");
  try {
    for await (const part of parts) await handle.writeFile(part);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Gives the folder back its name that a killed {@link writeFolder} has put aside, if there is one. */
export async function recoverFolder(path: string): Promise<void> {
  if ((await exists(path)) || !(await exists(oldOf(path)))) return;
  await rename(oldOf(path), path).catch(unlessOvertaken);
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function takeName(path: string, draft: string): Promise<void> {
  await rmdir(path).catch(unlessMissing);
  await rename(draft, path);
}

async function replaceFolder(path: string, draft: string, tries = 10): Promise<void> {
  await removeFolder(oldOf(path));
  try {
    await rename(path, oldOf(path)).catch(unlessMissing);
    await rename(draft, path);
  } catch (error) {
    // another writer was between our two calls, or a reader who took this for a killed writer's work has recovered the old
    unlessOvertaken(error as NodeJS.ErrnoException);
    if (tries === 1 || !(await exists(draft))) throw error;
    await replaceFolder(path, draft, tries - 1);
  }
}

/** A folder with all that it lies in, each name of which is on the disk. */
async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) await syncFolder(dirname(at));
}

/** Syncs the names in a folder. Windows has no such call, and keeps them by itself. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Drafts that this process is filling. */
const drafts = new Set<string>();

/** The name of a draft, which nobody else in this process has until it is deleted from `drafts`. */
function claimDraft(path: string): string {
  const draft = draftOf(path);
  if (drafts.has(draft)) {
    throw new ForgeError({
      code: "state_conflict",
      what: "this path is being written already.",
      got: path,
      fix: "wait for the first writer before the second starts",
    });
  }
  drafts.add(draft);
  return draft;
}

/** Removes those drafts of a folder, among the names given, whose writers were killed. */
export async function removeDrafts(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const [, writer] = DRAFT.exec(name) ?? [];
    const draft = join(folder, name);
    if (writer === undefined || (await isBeingWritten(draft, Number(writer)))) continue;
    await rm(draft, { recursive: true, force: true });
  }
}

async function isBeingWritten(draft: string, writer: number): Promise<boolean> {
  // of a process on another machine that shares the folder, only the silence tells
  if (!draft.endsWith(`.${hostname()}-${writer}${DRAFT_SUFFIX}`))
    return Date.now() - (await lastWrite(draft)) < SILENCE_MS;
  return writer === process.pid ? drafts.has(draft) : isAlive(writer);
}

/** When a folder, or a file in it, was last written to, in ms; 0 where it is gone. */
async function lastWrite(path: string): Promise<number> {
  const names = await readdir(path).catch(() => []);
  const times = await Promise.all(
    [path, ...names.map((name) => join(path, name))].map((file) =>
      stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(...times);
}

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

const DRAFT_SUFFIX = ".draft";
/** The name of a draft ends with its writer's process id. */
const DRAFT = /^\..+-(\d+)\.draft$/;
const SILENCE_MS = 3_600_000;

function draftOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${hostname()}-${process.pid}${DRAFT_SUFFIX}`);
}

function oldOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.old`);
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

/** Throws unless somebody else has put a folder there, or taken one away, since we looked. */
function unlessOvertaken(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") unlessMissing(error);
}
