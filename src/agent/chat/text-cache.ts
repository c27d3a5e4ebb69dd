/** Texts that were made lately, by what they were made of. */

/** Characters that are kept, keys too: some megabytes. */
const MOST = 2 ** 22;

/**
 * Plays of one task say the same things again and again, and an interpreter of templates takes a millisecond for each. What
 * was not asked for the longest goes first.
 */
export class TextCache {
  readonly #texts = new Map<string, string>();
  readonly #most: number;
  #size = 0;

  /** @param most characters that are kept, of keys and texts */
  constructor(most: number = MOST) {
    this.#most = most;
  }

  /** The text of a key; made if it is not there. What `make` throws is kept by nobody. */
  take(key: string, make: () => string): string {
    const known = this.#texts.get(key);
    const text = known ?? make();
    // the latest are at the end
    this.#texts.delete(key);
    this.#texts.set(key, text);
    if (known === undefined) this.#size += key.length + text.length;
    for (const [oldest, old] of this.#texts) {
      if (this.#size <= this.#most) break;
      this.#texts.delete(oldest);
      this.#size -= oldest.length + old.length;
    }
    return text;
  }
}
