/** The work of the step that is next, kept for the nodes that will ask for it. */
import type { BlobRef, BlobStore } from "../../../cluster/index.ts";
import { decodeWork, encodeWork, type StepWork } from "./step-work.ts";

/** The work of a step, and where it lies. */
export interface Offered {
  readonly work: StepWork;
  readonly ref: BlobRef;
}

/** See the file's head: one at a time. */
export class OfferedWork {
  readonly #blobs: BlobStore;
  #current: Offered | undefined;

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  get current(): Offered | undefined {
    return this.#current;
  }

  /** Work of this node. */
  offer(work: StepWork): Offered {
    return this.#keep(work, encodeWork(work));
  }

  /** Work of another node, which this one goes on with if that one dies. Errors: those of {@link decodeWork}. */
  adopt(bytes: Uint8Array): Offered {
    return this.#keep(decodeWork(bytes), bytes);
  }

  withdraw(): void {
    if (this.#current) this.#blobs.delete(this.#current.ref.hash);
    this.#current = undefined;
  }

  #keep(work: StepWork, bytes: Uint8Array): Offered {
    this.withdraw();
    this.#current = { work, ref: this.#blobs.put(bytes) };
    return this.#current;
  }
}
