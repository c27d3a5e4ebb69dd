/** Chunks that wait for their collective to begin, and the credit that waits with them. */
import type { ChunkHeader } from "../protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "../ring/arrival.ts";
import { type ReceivedChunk, Stash } from "../ring/stash.ts";

/** What is owed to the sender of a chunk. */
interface Credit {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** See the file's head. The sender is owed nothing for a chunk that is held. */
export class EarlyChunks {
  readonly #stash: Stash;
  readonly #credits = new Map<ChunkHeader, Credit>();

  /** Holds so many at most: the window of the connection from the predecessor. */
  constructor(limit: number) {
    this.#stash = new Stash(limit);
  }

  /**
   * Holds a chunk; resolves when it has been taken, or nobody will want it any more, and rejects with what was thrown at it.
   *
   * Errors    those of {@link Stash.put}, at once.
   */
  put(header: ChunkHeader, payload: Uint8Array): Promise<void> {
    this.#stash.put(header, payload);
    return new Promise((resolve, reject) => this.#credits.set(header, { resolve, reject }));
  }

  /** Gives those of a collective that begins to it, in the order of arrival. */
  give(place: RingPlace, take: (chunk: ReceivedChunk) => void): void {
    for (const chunk of this.#stash.take(place)) {
      try {
        take(chunk);
      } catch (error) {
        this.#credits.get(chunk.header)?.reject(error);
      }
    }
    for (const [header, { resolve }] of this.#credits) {
      if (arrivalOf(header, place) === "early") continue;
      this.#credits.delete(header);
      resolve();
    }
  }
}
