/** What the worker needs of a demo. */
import type { Device } from "forge-gpu";

/** What a training is opened with. */
export interface OpenOptions<Progress> {
  readonly device: Device;
  readonly seed: number;
  /** Settings in place of those of the configuration, where there is one. */
  readonly overrides: readonly string[];
  /** What `save` of a training of the same seed gave; undefined to begin anew. */
  readonly from: unknown;
  readonly tell: (progress: Progress) => void;
}

/** A training run that goes on a step at a time. */
export interface Training<Checkpoint = unknown> {
  /** Whether all steps are taken. */
  readonly isDone: boolean;
  /** How far it is, in a few words: what a kept checkpoint is called. */
  readonly label: string;
  /** Trains a step, and tells what it did. */
  step(): Promise<void>;
  /** All that is needed to go on from here, bit for bit: plain data. Undefined where it cannot be gone on from. */
  save(): Promise<Checkpoint>;
  /** The model as a file. */
  download(): Promise<Download>;
  /** Lets the policy act once, and gives how long that is to last, in milliseconds. */
  play?(): Promise<number>;
  push?(velocity: number): void;
}

export interface Download {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}
