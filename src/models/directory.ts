/** Model directories in the Hugging Face layout, on disk. */
import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import {
  type ByteSource,
  type CausalLM,
  type CheckpointFiles,
  ForgeError,
  type LoadedModel,
  type LoadOptions,
  loadModelFiles,
  modelFiles,
  type SaveOptions,
} from "../../engine/index.ts";
import { type FileSource, openFileSource } from "./file-source.ts";
import { exists, recoverFolder, writeFile, writeFolder } from "./folder.ts";

/** A model that was read from a directory, whose files stay open: what is saved unchanged is copied from them. */
export interface ModelDirectory extends LoadedModel, AsyncDisposable {
  /** Where it is, absolute. */
  readonly path: string;
  /** Closes the files and frees the weights. */
  close(): Promise<void>;
}

/**
 * Opens a model directory: config.json, model.safetensors or its shards; if they are there tokenizer.json, chat template
 * and generation_config.json. Weights go to the GPU a chunk at a time; no more than one parameter is on the host.
 *
 * Errors    `model_not_found` where there is no such directory, or it has no config.json; those of `loadModelFiles`.
 */
export async function openModelDirectory(
  path: string,
  options: LoadOptions,
): Promise<ModelDirectory> {
  const folder = resolve(path);
  await recoverFolder(folder);
  await checkDirectory(folder);
  const opened: FileSource[] = [];
  const closeFiles = async (): Promise<void> => {
    await Promise.all(opened.splice(0).map((file) => file.close()));
  };
  const files: CheckpointFiles = {
    open: async (name): Promise<ByteSource | undefined> => {
      const file = join(folder, name);
      if (!(await exists(file))) return undefined;
      const source = await openFileSource(file);
      opened.push(source);
      return source;
    },
  };
  try {
    const loaded = await loadModelFiles(files, options);
    const close = async (): Promise<void> => {
      loaded.model[Symbol.dispose]();
      await closeFiles();
    };
    return { ...loaded, path: folder, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeFiles();
    throw error;
  }
}

/** Options of {@link saveModelDirectory}. */
export interface SaveDirectoryOptions extends SaveOptions {
  /** The directory that the model was read from: its tokenizer, templates and other small files are copied as they are. */
  readonly from?: { readonly path: string; readonly model?: CausalLM };
  /** Further files by name, such as the tokenizer.json of a new model; objects are written as JSON. */
  readonly files?: Readonly<Record<string, string | Uint8Array | object>>;
  /** Take the place of a model directory that is there, and of all that is in it. Default false. */
  readonly overwrite?: boolean;
}

/**
 * Saves a model as a directory that the Hugging Face tools read, whole or not at all: whoever is killed on the way leaves
 * what was there before.
 *
 * Errors    `argument_invalid` for a target that is there already, or that is not to be overwritten: a file, a folder
 *           without config.json or with folders in it; `disk_full`; those of `modelFiles`.
 */
export async function saveModelDirectory(
  model: CausalLM,
  path: string,
  options: SaveDirectoryOptions = {},
): Promise<void> {
  const { from, files = {}, overwrite = false, ...saveOptions } = options;
  // through links: the folder is replaced, not the link to it
  const target = await realpath(path).catch(() => resolve(path));
  await recoverFolder(target);
  await checkTarget(target, overwrite);
  const made = modelFiles(model, saveOptions);
  checkNames(Object.keys(files), new Set(made.map(({ name }) => name)));
  // the text itself, while it holds: it also has what numbers of JavaScript cannot say
  const isConfigKept = from?.model?.config === model.config && !saveOptions.dtype;
  const written = isConfigKept ? made.filter(({ name }) => name !== "config.json") : made;
  const taken = new Set([...written.map(({ name }) => name), ...Object.keys(files)]);
  const copied = from ? await companions(from.path, taken) : [];
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

/** Weights in any format, their indices, and what is hidden: no companions of a model's weights. */
const NO_COMPANION =
  /^\.|\.index\.json$|\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|ot|tflite)$/;

/** The other files of a model directory, but those whose names are taken. */
async function companions(folder: string, taken: ReadonlySet<string>): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await readdir(folder)) {
    if (taken.has(name) || NO_COMPANION.test(name)) continue;
    const path = join(folder, name);
    if ((await stat(path)).isFile()) paths.push(path);
  }
  return paths;
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
    what: "saveModelDirectory: a further file cannot have this name.",
    got: JSON.stringify(bad),
    why: taken.has(bad) ? "the model itself is written there" : "it must be a plain file name",
    fix: "pass names such as tokenizer.json",
  });
}

/** Errors: `argument_invalid` unless the target is free, empty, or may be replaced. */
async function checkTarget(path: string, overwrite: boolean): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isDirectory()) throw notReplaced(path, "it is a file", "pass another path");
  const entries = await readdir(path, { withFileTypes: true });
  if (entries.length === 0) return;
  if (!overwrite) throw notReplaced(path, "it is there already", "pass another path, or overwrite");
  const folder = entries.find((entry) => entry.isDirectory());
  if (folder) throw notReplaced(path, `it has a folder: ${folder.name}`, "pass another path");
  if (!entries.some(({ name }) => name === "config.json"))
    throw notReplaced(path, "it is no model directory: it has no config.json", "pass another path");
}

function notReplaced(path: string, why: string, fix: string): ForgeError {
  const what = "saveModelDirectory: the target is not replaced.";
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

async function checkDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw notFound(path, "it does not exist");
  if (!found.isDirectory())
    throw notFound(path, "it is a file", "pass the directory that it is in");
  if (!(await exists(join(path, "config.json")))) throw notFound(path, "it has no config.json");
}

function notFound(path: string, why: string, fix?: string): ForgeError {
  return new ForgeError({
    code: "model_not_found",
    what: "there is no model directory here.",
    got: path,
    why,
    fix: fix ?? "pass a directory with config.json and model.safetensors",
  });
}
