/** Checkpoints in memory, with the files that they have on disk: for whoever keeps them elsewhere, such as a browser. */
import { bytesSource } from "../../../engine/index.ts";
import {
  type Checkpoint,
  type CheckpointContents,
  STATE_FILE,
  TENSORS_SUFFIX,
} from "./contents.ts";
import { checkpointInvalid, reasonOf } from "./invalid.ts";
import { jsonText } from "./plain-json.ts";
import { openTensorFile, tensorFileParts } from "./tensor-file.ts";

/** A checkpoint as plain data. Whoever keeps it sees to it that all of it is kept, or nothing. */
export interface PackedCheckpoint {
  readonly step: number;
  readonly writtenWith: Readonly<Record<string, string>>;
  /** By name: `policy.safetensors` and so on, and `state.json`. */
  readonly files: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
}

/**
 * Reads all tensors of a checkpoint into memory.
 *
 * Errors    `argument_invalid` for a state that is not plain JSON; those of reading the tensors.
 */
export async function packCheckpoint(
  step: number,
  { tensors, state, writtenWith = {} }: CheckpointContents,
): Promise<PackedCheckpoint> {
  const files: Record<string, Uint8Array<ArrayBuffer>> = {
    [STATE_FILE]: new TextEncoder().encode(jsonText(state)),
  };
  for (const [name, set] of Object.entries(tensors))
    files[name + TENSORS_SUFFIX] = await joined(tensorFileParts(set));
  return { step, writtenWith, files };
}

/**
 * The checkpoint that was packed.
 *
 * Errors    `checkpoint_invalid` for files that cannot be read, and without `state.json`.
 */
export async function unpackCheckpoint(packed: PackedCheckpoint): Promise<Checkpoint> {
  const { step, writtenWith, files } = packed;
  const path = `the packed checkpoint of step ${step}`;
  const { [STATE_FILE]: text, ...sets } = files;
  if (!text) throw checkpointInvalid(path, { file: STATE_FILE, what: "is missing" });
  const tensors = new Map<string, Awaited<ReturnType<typeof openTensorFile>>>();
  let file = STATE_FILE;
  try {
    const state: unknown = JSON.parse(new TextDecoder().decode(text));
    for (const [name, bytes] of Object.entries(sets)) {
      file = name;
      const set = name.slice(0, -TENSORS_SUFFIX.length);
      tensors.set(set, await openTensorFile(name, bytesSource(name, bytes)));
    }
    const close = async (): Promise<void> => {};
    return { path, step, writtenWith, tensors, state, close, [Symbol.asyncDispose]: close };
  } catch (cause) {
    throw checkpointInvalid(path, { file, what: "cannot be read", got: reasonOf(cause), cause });
  }
}

async function joined(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const copies: Uint8Array[] = [];
  // a part is gone when the next is asked for
  for await (const part of parts) copies.push(part.slice());
  const whole = new Uint8Array(copies.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const copy of copies) {
    whole.set(copy, at);
    at += copy.length;
  }
  return whole;
}
