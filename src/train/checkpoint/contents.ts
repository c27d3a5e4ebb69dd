/**
 * What is in a checkpoint, whatever it lies on: sets of tensors, one state as JSON, and what it was written with.
 *
 *   step-000123/
 *     policy.safetensors, optimizer.safetensors, …    the sets of tensors
 *     state.json                                      everything else that the run goes on from
 *     manifest.json                                   format, step, sizes and digests of the others
 */
import type { HostArray, SafetensorsDType } from "../../../engine/index.ts";

/** A tensor to be written. */
export interface CheckpointTensor {
  readonly name: string;
  /** Element type as the file says it: `F32` for what is trained. */
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Its elements, row-major; called when their turn comes, so that one tensor is on the host at a time. */
  data(): HostArray | Promise<HostArray>;
}

/** The tensors of one file. */
export interface TensorSet {
  readonly tensors: Iterable<CheckpointTensor>;
  /** Short texts beside them, such as the step count of an optimizer. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** What a checkpoint is written from. */
export interface CheckpointContents {
  /** By the name of their file without suffix: `policy`, `optimizer`, `critic`, `critic-optimizer`. */
  readonly tensors: Readonly<Record<string, TensorSet>>;
  /**
   * Everything else that the run goes on from (scheduler, pool, counters, data position) as plain JSON: no NaN, no infinities,
   * no arrays of numbers but plain ones. −0 comes back as 0.
   */
  readonly state: object;
  /** What it was written with: versions, adapter. For messages and warnings; nothing is decided by it here. */
  readonly writtenWith?: Readonly<Record<string, string>>;
}

/** A file of tensors that was read and verified. */
export interface TensorFile {
  /** What messages call it, such as `policy.safetensors`. */
  readonly name: string;
  /** Its tensors, in the order of the file. */
  readonly tensors: ReadonlyMap<string, Omit<CheckpointTensor, "data">>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The elements of a tensor in pieces of some MiB, 16-bit floats as patterns; a piece is gone when the next is asked for. */
  pieces(name: string): AsyncIterable<HostArray>;
}

/** A checkpoint that was read: everything about it has been verified. */
export interface Checkpoint extends AsyncDisposable {
  /** Where it is, for people. */
  readonly path: string;
  readonly step: number;
  readonly tensors: ReadonlyMap<string, TensorFile>;
  readonly state: unknown;
  readonly writtenWith: Readonly<Record<string, string>>;
  /** Closes its files. */
  close(): Promise<void>;
}

/** The suffix of files of tensors. */
export const TENSORS_SUFFIX = ".safetensors";
/** The file of everything else. */
export const STATE_FILE = "state.json";
