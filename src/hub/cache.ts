/**
 * The models in the user's cache:
 *
 *   models/<org>--<name>/<commit>/…        the files of a commit; under their final names they are whole and verified
 *   models/<org>--<name>/refs/<revision>   the commit that the revision stood for when it was last pulled as a whole
 *   models/<org>--<name>/lock              who is pulling now
 */
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../setup/paths.mjs";
import type { HubName } from "./name.ts";

/** What a file is called with, after its own name, until it is whole. */
export const PART_SUFFIX = ".incomplete";

/** The folder of a model; `FORGE_CACHE` moves all of them to another disk. */
export function modelFolder(id: string): string {
  return join(process.env["FORGE_CACHE"] || cacheFolder(), "models", id.replace("/", "--"));
}

/** The folder of a model's files at a commit. */
export function commitFolder(id: string, commit: string): string {
  return join(modelFolder(id), commit);
}

/** The directory of a model that has been pulled as a whole, or undefined. The hub is not asked. */
export function cachedModel(id: string, revision = "main"): string | undefined {
  try {
    const commit = readFileSync(refFile(id, revision), "utf8").trim();
    const directory = commitFolder(id, commit);
    return /^[0-9a-f]{40}$/.test(commit) && statSync(directory).isDirectory()
      ? directory
      : undefined;
  } catch {
    return undefined; // never pulled, or deleted since
  }
}

/** Notes that all of a model's files are there: for its revision, and for the commit itself. */
export function noteCached({ id, revision }: HubName, commit: string): void {
  for (const name of new Set([commit, revision])) {
    const file = refFile(id, name);
    mkdirSync(join(file, ".."), { recursive: true });
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, `${commit}\n`);
    renameSync(draft, file);
  }
}

/** `refs/pr/1` is one name, not three folders. */
function refFile(id: string, revision: string): string {
  return join(modelFolder(id), "refs", encodeURIComponent(revision));
}
