/** Text of an answer on its way, less what may turn out to be no content. */

/**
 * Tells text as soon as it is content whatever follows: less the space around it, and less what comes behind a `<`, which
 * calls and thoughts begin with. Where there are tools nothing is safe before the end: what marks a call may be a token
 * without text.
 */
export class SafeText {
  readonly #isHeld: boolean;
  #told = "";
  #pending = "";
  #isClosed = false;

  constructor(hasTools: boolean) {
    this.#isHeld = hasTools;
  }

  /** All that was told. */
  get told(): string {
    return this.#told;
  }

  push(piece: string): void {
    if (this.#isHeld || this.#isClosed) return;
    const end = piece.indexOf("<");
    this.#isClosed = end >= 0;
    this.#pending += this.#isClosed ? piece.slice(0, end) : piece;
  }

  /** What can be told now and was not yet. */
  take(): string {
    const text = this.#told === "" ? this.#pending.trimStart() : this.#pending;
    const safe = text.trimEnd();
    if (safe === "") return "";
    this.#pending = text.slice(safe.length);
    this.#told += safe;
    return safe;
  }
}
