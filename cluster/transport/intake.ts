/** Puts what a socket receives where whoever reads wants it, so that nothing is gathered, and little is copied. */

/**
 * Whoever reads: gives a place, and goes on when it is full. Places may be of shared memory. What comes after its end is thrown
 * away.
 */
export type Reading = Generator<Uint8Array, void, void>;

/** Bytes that are thrown away, or given to whoever does not read, at a time. */
const LOOSE_BYTES = 2 ** 16;

const NOWHERE = new Uint8Array();

/** See the file's head. Before anybody reads, bytes are given to `loose` as they come; it must not keep them. */
export class Intake {
  #loose: ((bytes: Uint8Array) => void) | undefined;
  #reading: Reading | undefined;
  #place: Uint8Array = NOWHERE;
  #at = 0;
  #spare: Uint8Array | undefined;

  constructor(loose?: (bytes: Uint8Array) => void) {
    this.#loose = loose;
  }

  /** Where the next bytes belong: never empty. Whoever puts some there says so to {@link filled}. */
  get room(): Uint8Array {
    if (this.#reading) return this.#at === 0 ? this.#place : this.#place.subarray(this.#at);
    this.#spare ??= new Uint8Array(LOOSE_BYTES);
    return this.#spare;
  }

  /** So many bytes have been put into the {@link room}. */
  filled(count: number): void {
    if (!this.#reading) {
      this.#loose?.(this.room.subarray(0, count));
      return;
    }
    this.#at += count;
    if (this.#at === this.#place.length) this.#next();
  }

  /** Takes bytes that are elsewhere. */
  take(bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0 && this.#reading) {
      const room = this.room;
      const piece = rest.subarray(0, room.length);
      room.set(piece);
      rest = rest.subarray(piece.length);
      this.filled(piece.length);
    }
    if (rest.length > 0) this.#loose?.(rest);
  }

  /** From now on somebody reads. */
  start(reading: Reading): void {
    this.#loose = undefined;
    this.#reading = reading;
    this.#next();
  }

  /** What comes is thrown away, and no place is written any more. */
  stop(): void {
    this.#loose = undefined;
    this.#reading = undefined;
    this.#place = NOWHERE;
  }

  #next(): void {
    this.#at = 0;
    this.#place = NOWHERE;
    // places may be empty, and whoever reads may stop it all
    while (this.#reading && this.#place.length === 0) {
      const { done, value } = this.#reading.next();
      if (done) this.stop();
      else if (this.#reading) this.#place = value;
    }
  }
}
