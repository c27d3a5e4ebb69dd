/** Those who wait, in the order in which they came. */

/** One who waits. Either call takes it out of the line. */
export interface Waiter<Item, Value> {
  readonly item: Item;
  resolve(value: Value): void;
  reject(error: unknown): void;
}

/** A line of promises, each with what it waits for. The owner goes through it at every change that may serve one. */
export class WaitingLine<Item, Value> {
  readonly #waiters = new Set<Waiter<Item, Value>>();

  get size(): number {
    return this.#waiters.size;
  }

  /** Rejected with the signal's reason when it is aborted, which takes it out of the line. */
  wait(item: Item, signal?: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter<Item, Value> = {
        item,
        resolve: (value) => {
          leave();
          resolve(value);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => waiter.reject(signal?.reason);
      signal?.addEventListener("abort", onAbort);
      this.#waiters.add(waiter);
    });
  }

  /** Who came first comes first. Waiters may leave while one goes through. */
  [Symbol.iterator](): Iterator<Waiter<Item, Value>> {
    return this.#waiters.values();
  }
}
