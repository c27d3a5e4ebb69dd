/** Chunks that wait for their collective to begin, and the credit that waits with them. */
import type { ChunkHeader } from "../protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "../ring/arrival.ts";
import { type ReceivedChunk, Stash } from "../ring/stash.ts";

/** See the file's head. The sender is owed nothing for a chunk that is held. */
export class EarlyChunks {
  readonly #stash: Stash;
  readonly #credits = new Map<ChunkHeader, () => void>();

  /** Holds so many at most: the window of the connection from the predecessor. */
  constructor(limit: number) {
    this.#stash = new Stash(limit);
  }

  /** Holds a chunk; resolves when it has been taken, or nobody will want it any more. Errors: those of {@link Stash.put}. */
  put(header: ChunkHeader, payload: Uint8Array): Promise<void> {
    this.#stash.put(header, payload);
    return new Promise((resolve) => this.#credits.set(header, resolve));
  }

  /** Gives those of a collective that begins to it, in the order of arrival. */
  give(place: RingPlace, take: (chunk: ReceivedChunk) => void): void {
    for (const chunk of this.#stash.take(place)) take(chunk);
    for (const [header, credit] of this.#credits) {
      if (arrivalOf(header, place) === "early") continue;
      this.#credits.delete(header);
      credit();
    }
  }
}
