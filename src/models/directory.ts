/** Model directories in the Hugging Face layout, on disk. */
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type ByteSource,
  type CheckpointFiles,
  ForgeError,
  type LoadedModel,
  type LoadOptions,
  loadModelFiles,
} from "../../engine/index.ts";
import { type FileSource, openFileSource } from "./file-source.ts";
import { recoverFolder } from "./folder.ts";

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
  const closeAll = async (): Promise<void> => {
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
      await closeAll();
    };
    return { ...loaded, path: folder, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function checkDirectory(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw notFound(path, "it does not exist");
  if (!found.isDirectory())
    throw notFound(path, "it is a file", "pass the directory that it is in");
  if (!(await exists(join(path, "config.json")))) throw notFound(path, "it has no config.json");
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
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
