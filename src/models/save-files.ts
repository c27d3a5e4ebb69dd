/** Files of a model, put into a folder of their own as a whole. */
import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ForgeError, type ModelFile } from "../../engine/index.ts";
import { recoverFolder, writeFile, writeFolder } from "./folder.ts";

/** Small files by name; objects are written as JSON. */
export type SmallFiles = Readonly<Record<string, string | Uint8Array | object>>;

/** What is put into a folder. */
export interface SavedFiles {
  /** What the model is saved as: no other file may have such a name. */
  readonly made: readonly ModelFile[];
  /** Those of them that are written. Default: all. */
  readonly written?: readonly ModelFile[];
  /** Default: none. */
  readonly files?: SmallFiles;
  /** Paths of files that are copied as they are. Default: none. */
  readonly copied?: readonly string[];
}

/**
 * Where a folder is to be saved, absolute. A folder that is there is replaced only if it has a file named `marker` and no
 * folders.
 *
 * Errors    `argument_invalid` for a target that is there already, or that is not to be replaced.
 */
export async function targetOf(path: string, overwrite: boolean, marker: string): Promise<string> {
  // through links: the folder is replaced, not the link to it
  const target = await realpath(path).catch(() => resolve(path));
  await recoverFolder(target);
  await checkTarget(target, overwrite, marker);
  return target;
}

/**
 * Fills the folder that {@link targetOf} gave, whole or not at all.
 *
 * Errors    `argument_invalid` for names that are none, or taken; `disk_full`; those of the files.
 */
export async function saveFiles(
  target: string,
  overwrite: boolean,
  { made, written = made, files = {}, copied = [] }: SavedFiles,
): Promise<void> {
  checkNames(Object.keys(files), new Set(made.map(({ name }) => name)));
  try {
    await writeFolder(target, overwrite, async (draft) => {
      for (const { name, parts } of written) await writeFile(join(draft, name), parts);
      for (const [name, content] of Object.entries(files))
        await writeFile(join(draft, name), [textOf(content)]);
      for (const path of copied)
        await writeFile(join(draft, basename(path)), createReadStream(path));
    });
  } catch (error) {
    throw saveError(error, target);
  }
}

function textOf(content: string | Uint8Array | object): string | Uint8Array {
  if (typeof content === "string" || content instanceof Uint8Array) return content;
  return `${JSON.stringify(content, null, 2)}\n`;
}

function checkNames(names: readonly string[], taken: ReadonlySet<string>): void {
  const bad = names.find((name) => /^\.|[/\\:]|^$/.test(name) || taken.has(name));
  if (bad === undefined) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "a file cannot be saved under this name.",
    got: JSON.stringify(bad),
    why: taken.has(bad) ? "it is written there already" : "it must be a plain file name",
    fix: "pass names such as tokenizer.json",
  });
}

/** Errors: `argument_invalid` unless the target is free, empty, or may be replaced. */
async function checkTarget(path: string, overwrite: boolean, marker: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isDirectory()) throw notReplaced(path, "it is a file", "pass another path");
  const entries = await readdir(path, { withFileTypes: true });
  if (entries.length === 0) return;
  if (!overwrite) throw notReplaced(path, "it is there already", "pass another path, or overwrite");
  const folder = entries.find((entry) => entry.isDirectory());
  if (folder) throw notReplaced(path, `it has a folder: ${folder.name}`, "pass another path");
  if (!entries.some(({ name }) => name === marker))
    throw notReplaced(path, `it has no ${marker}: it is something else`, "pass another path");
}

function notReplaced(path: string, why: string, fix: string): ForgeError {
  const what = "the target is not replaced.";
  return new ForgeError({ code: "argument_invalid", what, got: path, why, fix });
}

function saveError(cause: unknown, path: string): unknown {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (cause instanceof ForgeError || code === undefined) return cause;
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new ForgeError({
    code: isFull ? "disk_full" : "argument_invalid",
    what: `the model cannot be saved to ${path}.`,
    got: message,
    fix: isFull ? "make room, or save to another disk" : "pass a path that can be written to",
    cause,
  });
}
