/**
 * Chunks that have come before their collective. Peers never begin one at the same moment: the first chunk of the next is
 * sent by a peer that has ended this one to a peer that has not, and nobody would send it again.
 */
import { ClusterError } from "../error.ts";
import { type ChunkHeader, checkLength } from "../protocol/chunk-header.ts";
import { arrivalOf, type RingPlace } from "./arrival.ts";

/** A chunk that was received. */
export interface ReceivedChunk {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array;
}

/**
 * Holds chunks, not copies of them, until their collective begins. A sender is owed no credit for a chunk that is held, so
 * that all of its connections' windows together are as much as an honest one can fill.
 */
export class Stash {
  readonly #limit: number;
  #held: ReceivedChunk[] = [];

  /** Holds so many chunks at most: the windows of all connections from the predecessor. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Chunks held. */
  get size(): number {
    return this.#held.length;
  }

  /**
   * Holds a chunk that is early.
   *
   * Errors    `frame_invalid` for a payload of another length than the header's; `protocol_violated` when there is no room.
   */
  put(header: ChunkHeader, payload: Uint8Array): void {
    checkLength(header, payload);
    if (this.#held.length >= this.#limit) {
      throw new ClusterError({
        code: "protocol_violated",
        what: "chunk: too many have come before their time.",
        got: `one more than ${this.#limit}`,
        why: "none of them was credited, so no more can have been sent",
        fix: "close the connection",
      });
    }
    this.#held.push({ header, payload });
  }

  /** Hands over what belongs to the attempt that begins, in the order of arrival, and forgets what is late by then. */
  take(place: RingPlace): ReceivedChunk[] {
    const taken: ReceivedChunk[] = [];
    const kept: ReceivedChunk[] = [];
    for (const chunk of this.#held) {
      const arrival = arrivalOf(chunk.header, place);
      if (arrival === "now") taken.push(chunk);
      if (arrival === "early") kept.push(chunk);
    }
    this.#held = kept;
    return taken;
  }
}
