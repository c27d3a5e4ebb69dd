/** The state that counts, the one that comes next if all agree, and what others may fetch of both. */
import type { BlobRef, BlobStore } from "../../../cluster/index.ts";
import type { Manifest } from "./state-manifest.ts";

/** A state, with what this node has of it. */
export interface Held {
  readonly manifest: Manifest;
  /** Of the manifest: the hash of the state. */
  readonly ref: BlobRef;
  /** In the store because of this state. */
  readonly blobs: readonly BlobRef[];
}

/** See the file's head. */
export class HeldStates<S extends Held> {
  readonly #store: BlobStore;
  #held: S | undefined;
  #staged: S | undefined;
  /** Of the state before the last: those who are behind may still fetch it. */
  #past: readonly BlobRef[] = [];

  constructor(store: BlobStore) {
    this.#store = store;
  }

  /** The state that counts. */
  get current(): S {
    if (!this.#held) throw new Error("a shared state is used before there is one");
    return this.#held;
  }

  /** The same, where there may be none yet. */
  get held(): S | undefined {
    return this.#held;
  }

  /** What counts is this, with the blobs of what counted. */
  amend(state: S): void {
    this.#held = state;
  }

  /** What counts is this; the blobs of all that was there before are deleted. */
  replace(state: S): void {
    const { blobs: held = [] } = this.#held ?? {};
    const { blobs: staged = [] } = this.#staged ?? {};
    this.#delete([...this.#past, ...held, ...staged]);
    [this.#past, this.#held, this.#staged] = [[], state, undefined];
  }

  stage(state: S): void {
    this.#staged = state;
  }

  /** What was staged counts. */
  commit(): void {
    this.#delete(this.#past);
    this.#past = this.#held?.blobs ?? [];
    this.#held = this.#staged;
    this.#staged = undefined;
  }

  /** What was staged came to nothing. */
  rollback(): void {
    this.#delete(this.#staged?.blobs ?? []);
    this.#staged = undefined;
  }

  #delete(blobs: readonly BlobRef[]): void {
    for (const { hash } of blobs) this.#store.delete(hash);
  }
}
