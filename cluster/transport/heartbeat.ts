/** Finds out that a peer is dead though its socket says nothing. */
import type { Clock } from "./clock.ts";

/** How a {@link Heartbeat} goes about it. */
export interface HeartbeatOptions {
  /** Milliseconds between beats. */
  readonly everyMs: number;
  /** Beats in a row with no sign of life before each, after which the peer is dead: n to n + 1 times `everyMs` of silence. */
  readonly misses: number;
  readonly clock: Clock;
  /** Asks the peer for a sign of life. */
  readonly ask: () => void;
  /** Called once. */
  readonly onDead: () => void;
}

/**
 * A beat is timed from the one before it, so that a stall of our own, after which both the beat and the answers that came
 * meanwhile are due, counts as one beat missed at most.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #missed = 0;
  #hasHeard = false;
  #cancel: () => void;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    options.ask();
    this.#cancel = this.#next();
  }

  /** The peer lives. */
  heard(): void {
    this.#hasHeard = true;
  }

  stop(): void {
    this.#cancel();
  }

  #next(): () => void {
    return this.#options.clock.after(this.#options.everyMs, () => this.#beat());
  }

  #beat(): void {
    this.#missed = this.#hasHeard ? 0 : this.#missed + 1;
    this.#hasHeard = false;
    if (this.#missed >= this.#options.misses) {
      this.#options.onDead();
      return;
    }
    this.#options.ask();
    this.#cancel = this.#next();
  }
}
