/** A bounded queue that serves its callers in turns. */

/** First in, first out within a key; keys take turns. */
export class FairQueue<T> {
  readonly capacity: number;
  /** In the order of their turns. */
  readonly #lines = new Map<string, T[]>();
  #size = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** False when it is full. */
  push(key: string, item: T): boolean {
    if (this.#size >= this.capacity) return false;
    const line = this.#lines.get(key);
    if (line) line.push(item);
    else this.#lines.set(key, [item]);
    this.#size++;
    return true;
  }

  /** Puts an item back where {@link shift} took it from: its key's turn comes first again. */
  unshift(key: string, item: T): void {
    const line = [item, ...(this.#lines.get(key) ?? [])];
    this.#lines.delete(key);
    const others = [...this.#lines];
    this.#lines.clear();
    this.#lines.set(key, line);
    for (const [other, items] of others) this.#lines.set(other, items);
    this.#size++;
  }

  /** The item whose turn it is. Its key then comes last. */
  shift(): { readonly key: string; readonly item: T } | undefined {
    for (const [key, line] of this.#lines) {
      this.#lines.delete(key);
      const item = line.shift() as T;
      if (line.length > 0) this.#lines.set(key, line);
      this.#size--;
      return { key, item };
    }
    return undefined;
  }

  /** Takes an item out, wherever it stands. */
  remove(item: T): boolean {
    for (const [key, line] of this.#lines) {
      const at = line.indexOf(item);
      if (at < 0) continue;
      line.splice(at, 1);
      if (line.length === 0) this.#lines.delete(key);
      this.#size--;
      return true;
    }
    return false;
  }
}
