/** JSON documents that are replaced as a whole: whoever reads one finds the old or the new, never a part. */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { ForgeError } from "../../../engine/error.ts";
import { onRunFiles } from "./run-error.ts";

/**
 * Writes a document under another name, syncs it, renames it, and syncs the folder. Numbers that JSON does not have become
 * strings: `"NaN"`, `"Infinity"`.
 *
 * One process at a time may write a file.
 *
 * @throws ForgeError `disk_full`, `run_directory_unwritable`
 */
export function writeJsonFile(path: string, document: object): void {
  const draft = join(dirname(path), `.${basename(path)}.draft`);
  onRunFiles(path, () => {
    try {
      writeFileSync(draft, `${JSON.stringify(document, spellNonFinite, 2)}\n`, { flush: true });
      renameSync(draft, path);
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
    syncFolder(dirname(path));
  });
}

/**
 * Reads a document.
 *
 * @throws ForgeError `file_invalid` for something else than a JSON object
 */
export function readJsonFile(path: string): Record<string, unknown> {
  const text = readFileSync(path, "utf8");
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document === "object" && document !== null && !Array.isArray(document))
      return document as Record<string, unknown>;
    throw new TypeError("it is no object");
  } catch (cause) {
    throw new ForgeError({
      code: "file_invalid",
      what: `${basename(path)} is not the JSON object that it was written as`,
      got: `${(cause as Error).message} (${path})`,
      fix: "bring the file back from a copy, or begin a new run from a checkpoint of this one",
      cause,
    });
  }
}

/** Syncs the names in a folder. Windows has no such call, and keeps them by itself. */
function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function spellNonFinite(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
