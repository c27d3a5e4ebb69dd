/** Work on one model, one after the other: what a plan gives is overwritten by its next call. */

/** Runs work in the order in which it was handed in; what failed holds up nothing. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Errors: those of the work. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
