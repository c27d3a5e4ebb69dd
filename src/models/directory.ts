/** Model directories in the Hugging Face layout, on disk. */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
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
import { exists, recoverFolder } from "./folder.ts";
import { type SmallFiles, saveFiles, targetOf } from "./save-files.ts";

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
  readonly files?: SmallFiles;
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
  const target = await targetOf(path, overwrite, "config.json");
  const made = modelFiles(model, saveOptions);
  // the text itself, while it holds: it also has what numbers of JavaScript cannot say
  const isConfigKept = from?.model?.config === model.config && !saveOptions.dtype;
  const written = isConfigKept ? made.filter(({ name }) => name !== "config.json") : made;
  const taken = new Set([...written.map(({ name }) => name), ...Object.keys(files)]);
  const copied = from ? await companions(from.path, taken) : [];
  await saveFiles(target, overwrite, { made, written, files, copied });
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
