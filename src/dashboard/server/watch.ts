/** Tells listeners which runs have changed, as long as somebody listens. */
import type { RunNews } from "../api.ts";
import type { RunLibrary } from "./run-library.ts";

type Listener = (news: readonly RunNews[]) => void;

/** Files are asked, not watched: that works on every file system, also across machines. */
const EVERY_MS = 1000;

/** See the file's head. */
export class Watch {
  readonly #library: RunLibrary;
  readonly #listeners = new Set<Listener>();
  readonly #known = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(library: RunLibrary) {
    this.#library = library;
  }

  /** Calls `listener` at every change, until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#plan();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearTimeout(this.#timer);
    };
  }

  #plan(): void {
    this.#timer = setTimeout(() => void this.#look(), EVERY_MS).unref();
  }

  async #look(): Promise<void> {
    await this.#library.refresh().catch(() => undefined); // a folder that is gone may be back the next time
    const all = this.#library.news();
    const news = all.filter((each) => this.#known.get(each.id) !== JSON.stringify(each));
    const isLess = this.#known.size > all.length;
    if (isLess) this.#known.clear();
    for (const each of all) this.#known.set(each.id, JSON.stringify(each));
    if (news.length > 0 || isLess) for (const listener of this.#listeners) listener(news);
    if (this.#listeners.size > 0) this.#plan();
  }
}
