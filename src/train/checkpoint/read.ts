/** Reads checkpoints from disk. Nothing of one is used before all of it is what was written. */
import { createHash } from "node:crypto";
import { lstat, readFile, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { ForgeError } from "../../../engine/index.ts";
import { type FileSource, openFileSource } from "../../models/file-source.ts";
import { exists } from "../../models/folder.ts";
import { type Checkpoint, STATE_FILE, TENSORS_SUFFIX, type TensorFile } from "./contents.ts";
import { checkpointInvalid, reasonOf } from "./invalid.ts";
import { type FileRecord, MANIFEST_FILE, type Manifest, parseManifest } from "./manifest.ts";
import { listSteps, stepName, stepOf } from "./place.ts";
import { openTensorFile } from "./tensor-file.ts";

/** More than any manifest: what is larger is not read. */
const MAX_MANIFEST_BYTES = 2 ** 20;
const HASH_BYTES = 8 * 2 ** 20;

/** Options of {@link latestCheckpoint}. */
export interface LatestOptions {
  /** Hears of each checkpoint that is passed over. Default: a warning of the process. */
  readonly onInvalid?: (error: ForgeError) => void;
}

/**
 * Reads and verifies a checkpoint: the folder of one, or the newest valid one of a directory of them. Its files stay open:
 * what was verified is what is restored, whoever changes the folder meanwhile. Close it.
 *
 * Errors    `checkpoint_invalid`, naming the file and saying why: something is missing, cut off, changed, of a newer format,
 *           a link or not what a checkpoint has; there is none.
 */
export async function readCheckpoint(
  path: string,
  options: LatestOptions = {},
): Promise<Checkpoint> {
  const folder = resolve(path);
  const isOne =
    stepOf(basename(folder)) !== undefined || (await exists(join(folder, MANIFEST_FILE)));
  if (isOne) return openStep(folder);
  const latest = await latestCheckpoint(folder, options);
  if (latest) return latest;
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: "there is no checkpoint here.",
    got: folder,
    fix: `pass a run's checkpoints, or one of them, such as checkpoints/${stepName(100)}`,
  });
}

/**
 * The newest valid checkpoint in `directory`; undefined when there is none at all, or no directory. One that cannot be used
 * is reported, and the one before it is taken. Close it.
 *
 * Errors    `checkpoint_invalid` when there are checkpoints and none can be used: to begin anew is nobody's guess to make.
 */
export async function latestCheckpoint(
  directory: string,
  { onInvalid = (error) => process.emitWarning(error.message) }: LatestOptions = {},
): Promise<Checkpoint | undefined> {
  const folder = resolve(directory);
  const reasons: string[] = [];
  for (const step of await listSteps(folder)) {
    try {
      return await openStep(join(folder, stepName(step)));
    } catch (error) {
      if (!(error instanceof ForgeError) || error.code !== "checkpoint_invalid") throw error;
      onInvalid(error);
      reasons.push(reasonOf(error));
    }
  }
  if (reasons.length === 0) return undefined;
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: "none of the checkpoints can be used.",
    got: reasons.join("\n       "),
    fix: "begin a new run, or bring back a checkpoint from a copy",
  });
}

/** Whether the checkpoint of a step is what was written: everything is read and hashed. */
export async function isValidStep(directory: string, step: number): Promise<boolean> {
  try {
    await (await openStep(join(directory, stepName(step)))).close();
    return true;
  } catch (error) {
    if (error instanceof ForgeError && error.code === "checkpoint_invalid") return false;
    throw error;
  }
}

async function openStep(path: string): Promise<Checkpoint> {
  const manifest = await readManifest(path);
  const opened: FileSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.splice(0).map((file) => file.close()));
  };
  try {
    const tensors = new Map<string, TensorFile>();
    let state: unknown;
    for (const [name, record] of Object.entries(manifest.files)) {
      const source = await openVerified(path, name, record);
      opened.push(source);
      if (name === STATE_FILE) state = await parseState(source);
      else if (name.endsWith(TENSORS_SUFFIX))
        tensors.set(name.slice(0, -TENSORS_SUFFIX.length), await openTensorFile(name, source));
    }
    const { step, writtenWith } = manifest;
    return { path, step, writtenWith, tensors, state, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw asInvalid(path, "its files", error);
  }
}

async function readManifest(path: string): Promise<Manifest> {
  const file = join(path, MANIFEST_FILE);
  const { size } = await checkFile(path, MANIFEST_FILE);
  if (size > MAX_MANIFEST_BYTES)
    throw checkpointInvalid(path, {
      file: MANIFEST_FILE,
      what: "is too large",
      got: `${size} bytes`,
    });
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw asInvalid(path, MANIFEST_FILE, error);
  });
  const manifest = parseManifest(path, text);
  const named = stepOf(basename(path));
  if (named === undefined || named === manifest.step) return manifest;
  throw checkpointInvalid(path, {
    file: MANIFEST_FILE,
    what: "is that of another step",
    got: `step ${manifest.step}`,
    fix: "give the folder its name back, or resume from another checkpoint",
  });
}

/** Opens a file whose size and digest are those of the manifest. Errors: `checkpoint_invalid`. */
async function openVerified(path: string, file: string, record: FileRecord): Promise<FileSource> {
  await checkFile(path, file);
  const source = await openFileSource(join(path, file)).catch((error: unknown) => {
    throw asInvalid(path, file, error);
  });
  try {
    if (source.size !== record.bytes) {
      const what = source.size < record.bytes ? "is cut off" : "has become longer";
      const got = `${source.size} bytes instead of ${record.bytes}`;
      throw checkpointInvalid(path, { file, what, got });
    }
    const sha256 = await digestOf(source);
    if (sha256 === record.sha256) return source;
    const got = `SHA-256 ${sha256} instead of ${record.sha256}`;
    throw checkpointInvalid(path, { file, what: "is not what was written", got });
  } catch (error) {
    await source.close();
    throw asInvalid(path, file, error);
  }
}

/** Errors: `checkpoint_invalid` for what is missing, and for links and whatever else is no file. */
async function checkFile(path: string, file: string): Promise<{ size: number }> {
  const found = await lstat(join(path, file)).catch((error: unknown) => error as Error);
  if (!(found instanceof Error)) {
    if (found.isFile()) return found;
    const what = found.isSymbolicLink() ? "is a link" : "is no file";
    throw checkpointInvalid(path, { file, what, why: "a checkpoint consists of plain files" });
  }
  const isThere = await stat(path).then(
    (folder) => folder.isDirectory(),
    () => false,
  );
  const what = isThere ? "is missing" : "is missing: there is no such folder";
  throw checkpointInvalid(path, { file, what, got: found.message, cause: found });
}

async function digestOf(source: FileSource): Promise<string> {
  const hash = createHash("sha256");
  const room = new Uint8Array(Math.min(HASH_BYTES, source.size));
  for (let at = 0; at < source.size; at += HASH_BYTES)
    hash.update(await source.read(at, Math.min(HASH_BYTES, source.size - at), room));
  return hash.digest("hex");
}

async function parseState(source: FileSource): Promise<unknown> {
  return JSON.parse(new TextDecoder().decode(await source.read(0, source.size)));
}

/** What any error of reading says, as one about this checkpoint. */
function asInvalid(path: string, file: string, error: unknown): unknown {
  if (error instanceof ForgeError && error.code === "checkpoint_invalid") return error;
  const isUnreadable = error instanceof ForgeError || error instanceof SyntaxError;
  const { code } = error as NodeJS.ErrnoException;
  if (!isUnreadable && code === undefined) return error;
  const what = "cannot be read";
  return checkpointInvalid(path, { file, what, got: reasonOf(error), cause: error });
}
