/** Stop strings in streamed text. */
import { ForgeError } from "../error.ts";

/** What a piece of streamed text brought. */
export interface StopResult {
  /** Text that belongs to the result, whatever comes next. */
  readonly text: string;
  /** The stop string that was found. `text` then ends where it begins. */
  readonly stop?: string;
}

/** A prefix of stop strings: a node of the automaton of Aho and Corasick. */
interface Prefix {
  readonly depth: number;
  readonly next: Map<string, Prefix>;
  /** The longest proper suffix of this prefix that is a prefix too. The root has none. */
  suffix: Prefix | undefined;
  /** The longest stop string that this prefix ends with. */
  stop: string | undefined;
}

/**
 * Looks for stop strings in text that comes in pieces, and holds back what may be the beginning of one.
 *
 * The match is the one that ends first; of several that end together, the longest. So how the text is cut into pieces
 * changes nothing. After a match the rest of the text is dropped. The cost is constant per character.
 *
 * Source    Aho & Corasick 1975, doi:10.1145/360825.360855
 */
export class StopStrings {
  readonly #root: Prefix = { depth: 0, next: new Map(), suffix: undefined, stop: undefined };
  #state = this.#root;
  #held = "";
  #stop: string | undefined;

  /** Errors    `argument_invalid` for an empty stop string. */
  constructor(stops: readonly string[]) {
    for (const stop of stops) this.#insert(stop);
    this.#link();
  }

  /** Reads a piece of the text. */
  push(piece: string): StopResult {
    if (this.#stop !== undefined) return { text: "", stop: this.#stop };
    const text = this.#held + piece;
    for (let at = this.#held.length; at < text.length; at++) {
      this.#state = this.#step(text[at] as string);
      const { stop } = this.#state;
      if (stop === undefined) continue;
      this.#stop = stop;
      this.#held = "";
      return { text: text.slice(0, at + 1 - stop.length), stop };
    }
    const kept = text.length - this.#state.depth;
    this.#held = text.slice(kept);
    return { text: text.slice(0, kept) };
  }

  /** The text that was held back, once no more comes. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    this.#state = this.#root;
    return text;
  }

  #insert(stop: string): void {
    if (stop === "") {
      throw new ForgeError({
        code: "argument_invalid",
        what: "StopStrings: a stop string is empty.",
        fix: "leave it out",
      });
    }
    let node = this.#root;
    for (let at = 0; at < stop.length; at++) {
      const unit = stop[at] as string;
      let child = node.next.get(unit);
      if (!child) {
        child = { depth: at + 1, next: new Map(), suffix: undefined, stop: undefined };
        node.next.set(unit, child);
      }
      node = child;
    }
    node.stop = stop;
  }

  /** Suffixes, shorter prefixes first. */
  #link(): void {
    const queue: Prefix[] = [this.#root];
    for (const node of queue) {
      for (const [unit, child] of node.next) {
        let suffix = node.suffix;
        while (suffix && !suffix.next.has(unit)) suffix = suffix.suffix;
        child.suffix = suffix?.next.get(unit) ?? this.#root;
        child.stop ??= child.suffix.stop;
        queue.push(child);
      }
    }
  }

  #step(unit: string): Prefix {
    let node: Prefix | undefined = this.#state;
    while (node && !node.next.has(unit)) node = node.suffix;
    return node?.next.get(unit) ?? this.#root;
  }
}
