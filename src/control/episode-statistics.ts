/** Returns and lengths of episodes, as Gymnasium's `RecordEpisodeStatistics`. */
import type { VectorStep } from "./vector-environment.ts";

/** An episode that has ended. */
export interface EpisodeRecord {
  /** Environment that it was played in. */
  readonly environment: number;
  /** Sum of its rewards, not discounted. */
  readonly return: number;
  /** Steps. */
  readonly length: number;
}

/** Episodes under way: [N] each. */
export interface OpenEpisodes {
  readonly returns: readonly number[];
  readonly lengths: readonly number[];
}

/** Adds up the episodes of N environments. */
export class EpisodeStatistics {
  readonly #returns: number[];
  readonly #lengths: number[];
  #ended: EpisodeRecord[] = [];

  constructor(numEnvs: number) {
    this.#returns = new Array<number>(numEnvs).fill(0);
    this.#lengths = new Array<number>(numEnvs).fill(0);
  }

  /** Takes a step of all environments in. */
  add({ rewards, terminated, truncated }: VectorStep): void {
    for (let n = 0; n < this.#returns.length; n++) {
      const total = (this.#returns[n] as number) + (rewards[n] as number);
      const length = (this.#lengths[n] as number) + 1;
      const isOver = terminated[n] === true || truncated[n] === true;
      if (isOver) this.#ended.push({ environment: n, return: total, length });
      this.#returns[n] = isOver ? 0 : total;
      this.#lengths[n] = isOver ? 0 : length;
    }
  }

  /** Episodes that have ended since this was asked last, in their order. */
  take(): EpisodeRecord[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  /** What is under way, to go on from. */
  save(): OpenEpisodes {
    return { returns: [...this.#returns], lengths: [...this.#lengths] };
  }

  /** Goes on from what was saved. */
  restore({ returns, lengths }: OpenEpisodes): void {
    for (let n = 0; n < this.#returns.length; n++) {
      this.#returns[n] = returns[n] ?? 0;
      this.#lengths[n] = lengths[n] ?? 0;
    }
    this.#ended = [];
  }
}
