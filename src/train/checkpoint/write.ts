/** Writes checkpoints to disk. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { ForgeError } from "../../../engine/index.ts";
import { writeFile, writeFolder } from "../../models/folder.ts";
import { runError } from "../run/run-error.ts";
import { type CheckpointContents, STATE_FILE, TENSORS_SUFFIX } from "./contents.ts";
import { FILE_NAME, type FileRecord, MANIFEST_FILE, manifestText } from "./manifest.ts";
import { removeLeftovers, stepName } from "./place.ts";
import { jsonText } from "./plain-json.ts";
import { tensorFileParts } from "./tensor-file.ts";

/**
 * Writes a checkpoint into `directory`, a run's `checkpoints`, and returns its path. When that is returned it is on the disk;
 * whoever is killed before leaves no part of it. One of this step that is there already is replaced.
 *
 * Tensors are read one at a time. What killed writers have left in the directory is removed first.
 *
 * Errors    `disk_full`, `run_directory_unwritable`: what was there is still there, and nothing else; `argument_invalid` for
 *           names of tensor sets that are no plain file names and a state that is not plain JSON; `state_conflict` while
 *           this process writes the same step already; those of reading the tensors.
 */
export async function writeCheckpoint(
  directory: string,
  step: number,
  contents: CheckpointContents,
): Promise<string> {
  const folder = resolve(directory);
  const path = join(folder, stepName(step));
  const state = jsonText(contents.state);
  for (const name of Object.keys(contents.tensors)) checkName(name + TENSORS_SUFFIX);
  try {
    await removeLeftovers(folder);
    await writeFolder(path, true, async (draft) => {
      const files: Record<string, FileRecord> = {};
      for (const [name, set] of Object.entries(contents.tensors)) {
        const file = name + TENSORS_SUFFIX;
        files[file] = await writeHashed(join(draft, file), tensorFileParts(set));
      }
      files[STATE_FILE] = await writeHashed(join(draft, STATE_FILE), [Buffer.from(state)]);
      const manifest = manifestText({ step, writtenWith: contents.writtenWith ?? {}, files });
      await writeFile(join(draft, MANIFEST_FILE), [manifest]);
    });
  } catch (error) {
    throw runError(error, path);
  }
  return path;
}

/** Writes a file, and says what was written. */
async function writeHashed(
  path: string,
  parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<FileRecord> {
  const hash = createHash("sha256");
  let bytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const part of parts) {
      hash.update(part);
      bytes += part.length;
      yield part;
    }
  }
  await writeFile(path, counted());
  return { bytes, sha256: hash.digest("hex") };
}

function checkName(file: string): void {
  if (FILE_NAME.test(file)) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "writeCheckpoint: a set of tensors cannot have this name.",
    got: JSON.stringify(file),
    fix: "use lower-case letters, digits and -, such as critic-optimizer",
  });
}
