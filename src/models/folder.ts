/** A folder that is written as a whole: whoever reads it finds the old one or the new one, never a part. */
import { mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

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
  await mkdir(parent, { recursive: true });
  await recoverFolder(path);
  await removeAbandoned(path);
  const draft = draftOf(path);
  await mkdir(draft);
  drafts.add(draft);
  try {
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
  await rm(oldOf(path), { recursive: true, force: true });
}

/** Gives the folder back its name that a killed {@link writeFolder} has put aside, if there is one. */
export async function recoverFolder(path: string): Promise<void> {
  if (!(await exists(path)) && (await exists(oldOf(path)))) await rename(oldOf(path), path);
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

async function replaceFolder(path: string, draft: string, tries = 3): Promise<void> {
  await rm(oldOf(path), { recursive: true, force: true });
  await rename(path, oldOf(path)).catch(unlessMissing);
  try {
    await rename(draft, path);
  } catch (error) {
    // a reader that came between the two calls took this for a killed writer's work, and has recovered the old one
    if (tries === 1 || !(await exists(path))) throw error;
    await replaceFolder(path, draft, tries - 1);
  }
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

/** Removes drafts of this folder whose writers were killed. */
async function removeAbandoned(path: string): Promise<void> {
  const [before, after] = [`.${basename(path)}.${hostname()}-`, DRAFT_SUFFIX];
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(before) || !name.endsWith(after)) continue;
    const draft = join(dirname(path), name);
    const writer = Number(name.slice(before.length, -after.length));
    const isWriting = writer === process.pid ? drafts.has(draft) : isAlive(writer);
    if (!isWriting) await rm(draft, { recursive: true, force: true });
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
