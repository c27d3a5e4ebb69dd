/** Frames come in bursts, one for each update of the policy. Here they are shown one by one, at an even pace. */
import type { Frame } from "./progress.ts";

/** Frames that wait at most: whoever looks away, and comes back, sees what is now. */
const MOST_WAITING = 256;
/** How much a new gap between two bursts counts for the pace. */
const SHARE_OF_NEW = 0.3;

export class Playback {
  readonly #waiting: Frame[] = [];
  #framesPerMs = 0;
  #due = 0;
  #gapMs: number | undefined;
  #pushedAt: number | undefined;

  /** Whether there are frames to come. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes a burst in. @param now in milliseconds */
  push(frames: readonly Frame[], now: number): void {
    const gapMs = this.#pushedAt === undefined ? 500 : now - this.#pushedAt;
    this.#pushedAt = now;
    this.#gapMs = this.#gapMs === undefined ? gapMs : mixed(this.#gapMs, gapMs);
    this.#waiting.push(...frames);
    this.#waiting.splice(0, Math.max(0, this.#waiting.length - MOST_WAITING));
    // all that waits is shown by the time that the next burst is expected
    this.#framesPerMs = this.#waiting.length / Math.max(1, this.#gapMs);
  }

  /** The frames that are due after some milliseconds more; what they say has ended has, shown or not. */
  take(elapsedMs: number): Frame[] {
    this.#due = Math.min(this.#due + elapsedMs * this.#framesPerMs, this.#waiting.length);
    const frames = this.#waiting.splice(0, Math.floor(this.#due));
    this.#due -= frames.length;
    return frames;
  }

  /** Forgets what waits: something else is to be seen. */
  clear(): void {
    this.#waiting.length = 0;
    this.#due = 0;
    this.#gapMs = undefined;
    this.#pushedAt = undefined;
  }
}

function mixed(old: number, added: number): number {
  return (1 - SHARE_OF_NEW) * old + SHARE_OF_NEW * added;
}
