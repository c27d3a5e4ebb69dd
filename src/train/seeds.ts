/** Seeds of what a run draws: each from the run's seed and the place it is for, so that none depends on another's turn. */

const MASK = (1n << 64n) - 1n;

/**
 * Seed of a place, such as (purpose, group, sample, request): 64 bits. Other places have other seeds, as far as a hash
 * can promise.
 *
 * Source    the finalizer of SplitMix64 (Steele, Lea & Flood 2014), once for each number.
 */
export function seedOf(seed: number, ...place: readonly number[]): bigint {
  let state = mixed(BigInt(seed) & MASK);
  for (const part of place) state = mixed(state ^ (BigInt(part) & MASK));
  return state;
}

/** The lower 32 bits of {@link seedOf}, for generators that take a number. */
export function smallSeedOf(seed: number, ...place: readonly number[]): number {
  return Number(seedOf(seed, ...place) & 0xffff_ffffn);
}

function mixed(value: bigint): bigint {
  let z = (value + 0x9e3779b97f4a7c15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

/** What seeds are for; part of their place. */
export const PURPOSE = { train: 1, evaluation: 2, order: 3, minibatches: 4, warmStart: 5 } as const;

/** 0 … count − 1 in an order of its own for each seed (Fisher–Yates). */
export function shuffled(count: number, seed: bigint): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let state = seed;
  for (let i = count - 1; i > 0; i--) {
    state = mixed(state);
    const j = Number(state % BigInt(i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** Tasks in the order in which they are trained on: each once an epoch, in an order of its own for each epoch. */
export class TaskOrder {
  readonly #count: number;
  readonly #seed: number;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();

  /** @param count of tasks; Infinity for a stream, which keeps its own order */
  constructor(count: number, seed: number) {
    this.#count = count;
    this.#seed = seed;
  }

  /** Number of the task that the group with this number is about. */
  taskOf(group: number): number {
    if (this.#count === Number.POSITIVE_INFINITY) return group;
    const epoch = Math.floor(group / this.#count);
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#order = shuffled(this.#count, seedOf(this.#seed, PURPOSE.order, epoch));
    }
    return this.#order[group % this.#count] as number;
  }
}
