/** A folder that is written as a whole: whoever reads it finds the old one or the new one, never a part. */
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

/**
 * Fills a new folder by `fill` and gives it the name `path`, in the place of the folder that has it now.
 *
 * The folder is filled under another name beside `path` and synced to the disk; only then is it renamed. No file system
 * has one call that puts a folder in the place of another, so the old one is renamed first: who is killed between the two
 * calls leaves the old one under the name that {@link recoverFolder} knows.
 */
export async function writeFolder(
  path: string,
  fill: (draft: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  await mkdir(parent, { recursive: true });
  await recoverFolder(path);
  await removeAbandoned(path);
  const draft = draftOf(path);
  await mkdir(draft);
  try {
    await fill(draft);
    await syncFolder(draft);
    await replaceFolder(path, draft);
  } catch (error) {
    await recoverFolder(path);
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(parent);
  await rm(oldOf(path), { recursive: true, force: true });
}

/** Gives the folder back its name that a killed {@link writeFolder} has put aside, if there is one. */
export async function recoverFolder(path: string): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  await rename(oldOf(path), path).catch(unlessMissing);
}

/** Syncs what a file holds to the disk. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function replaceFolder(path: string, draft: string): Promise<void> {
  await rm(oldOf(path), { recursive: true, force: true });
  await rename(path, oldOf(path)).catch(unlessMissing);
  await rename(draft, path);
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

/** Removes drafts of this folder whose writers were killed. */
async function removeAbandoned(path: string): Promise<void> {
  const [before, after] = [`.${basename(path)}.${hostname()}-`, DRAFT_SUFFIX];
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(before) || !name.endsWith(after)) continue;
    const writer = Number(name.slice(before.length, -after.length));
    if (!isAlive(writer)) await rm(join(dirname(path), name), { recursive: true, force: true });
  }
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

function draftOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${hostname()}-${process.pid}${DRAFT_SUFFIX}`);
}

function oldOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.old`);
}

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
