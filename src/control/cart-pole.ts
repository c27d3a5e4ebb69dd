/** CartPole-v1: a pole on a cart, to be kept upright by pushing the cart left (0) or right (1). */
import { ForgeError, Random } from "../../engine/index.ts";
import { seedOf } from "./seeds.ts";
import type { VectorEnvironment, VectorStep } from "./vector-environment.ts";

const GRAVITY = 9.8;
const POLE_MASS = 0.1;
const TOTAL_MASS = 1.1;
/** Half the pole's. */
const LENGTH = 0.5;
const POLE_MASS_LENGTH = POLE_MASS * LENGTH;
const FORCE = 10;
/** Seconds a step. */
const TAU = 0.02;
const MOST_ANGLE = (12 * 2 * Math.PI) / 360;
const MOST_POSITION = 2.4;
/** Position, velocity, angle, angular velocity. */
const SIZE = 4;

/** Options of {@link cartPole}. */
export interface CartPoleOptions {
  /** Default 1. */
  readonly numEnvs?: number;
  /** Steps after which an episode is cut off. Default 500. */
  readonly maxEpisodeSteps?: number;
}

/** Where all environments are. */
export interface CartPoleState {
  readonly seed: number;
  /** [N, 4] position, velocity, angle, angular velocity. */
  readonly states: Float64Array;
  /** [N] Steps of the episode so far. */
  readonly steps: Uint32Array;
  /** [N] Episodes begun. */
  readonly episodes: Uint32Array;
}

/**
 * CartPole-v1 of Gymnasium 1.x: Barto, Sutton & Anderson 1983, doi:10.1109/TSMC.1983.6313077, in f64 with Euler steps.
 *
 * Reward 1 a step. An episode terminates when the cart is more than 2.4 off the middle or the pole more than 12° off the
 * vertical, and is truncated after 500 steps (then too when both happen at once, as in Gymnasium). It begins with four
 * numbers in [−0.05, 0.05), drawn from (seed, environment, episode) alone.
 *
 * Errors    `argument_invalid` for options out of range, or an action that is neither 0 nor 1; `shape_mismatch`
 */
export function cartPole(options: CartPoleOptions = {}): VectorEnvironment {
  return new CartPole(
    count("numEnvs", options.numEnvs ?? 1),
    count("maxEpisodeSteps", options.maxEpisodeSteps ?? 500),
  );
}

class CartPole implements VectorEnvironment {
  readonly numEnvs: number;
  readonly observationSize = SIZE;
  readonly numActions = 2;
  readonly #maxEpisodeSteps: number;
  #seed = 0;
  readonly #states: Float64Array;
  readonly #steps: Uint32Array;
  readonly #episodes: Uint32Array;

  constructor(numEnvs: number, maxEpisodeSteps: number) {
    this.numEnvs = numEnvs;
    this.#maxEpisodeSteps = maxEpisodeSteps;
    this.#states = new Float64Array(SIZE * numEnvs);
    this.#steps = new Uint32Array(numEnvs);
    this.#episodes = new Uint32Array(numEnvs);
    this.reset(0);
  }

  reset(seed: number): Float32Array {
    this.#seed = seed;
    this.#episodes.fill(0);
    for (let n = 0; n < this.numEnvs; n++) this.#begin(n);
    return Float32Array.from(this.#states);
  }

  step(actions: ArrayLike<number>): VectorStep {
    this.#check(actions);
    const terminated: boolean[] = [];
    const truncated: boolean[] = [];
    for (let n = 0; n < this.numEnvs; n++) {
      const state = this.#states.subarray(SIZE * n, SIZE * (n + 1));
      advance(state, actions[n] === 1 ? FORCE : -FORCE);
      const [position, , angle] = state as unknown as readonly number[];
      const steps = (this.#steps[n] as number) + 1;
      this.#steps[n] = steps;
      terminated.push(isBeyond(position, MOST_POSITION) || isBeyond(angle, MOST_ANGLE));
      truncated.push(steps >= this.#maxEpisodeSteps);
    }
    const finalObservations = Float32Array.from(this.#states);
    for (let n = 0; n < this.numEnvs; n++) if (terminated[n] || truncated[n]) this.#begin(n);
    return {
      observations: Float32Array.from(this.#states),
      rewards: new Float64Array(this.numEnvs).fill(1),
      terminated,
      truncated,
      finalObservations,
    };
  }

  save(): CartPoleState {
    return {
      seed: this.#seed,
      states: this.#states.slice(),
      steps: this.#steps.slice(),
      episodes: this.#episodes.slice(),
    };
  }

  restore(state: unknown): void {
    const { seed, states, steps, episodes } = (state ?? {}) as CartPoleState;
    if (states?.length !== this.#states.length || steps?.length !== this.numEnvs) {
      throw new ForgeError({
        code: "shape_mismatch",
        what: "cartPole: the saved state is that of another number of environments.",
        got: `${steps?.length ?? "no"} environments for ${this.numEnvs}`,
        fix: "restore with as many as were saved",
      });
    }
    this.#seed = seed;
    this.#states.set(states);
    this.#steps.set(steps);
    this.#episodes.set(episodes);
  }

  #begin(n: number): void {
    const episode = this.#episodes[n] as number;
    const random = new Random(seedOf(this.#seed, n, episode));
    for (let i = 0; i < SIZE; i++) this.#states[SIZE * n + i] = 0.1 * random.uniform() - 0.05;
    this.#steps[n] = 0;
    this.#episodes[n] = episode + 1;
  }

  #check(actions: ArrayLike<number>): void {
    const all = Array.from(actions);
    if (all.length === this.numEnvs && all.every((a) => a === 0 || a === 1)) return;
    throw new ForgeError({
      code: all.length === this.numEnvs ? "argument_invalid" : "shape_mismatch",
      what: "cartPole: there is not one action for each environment.",
      got: `${all.length} actions for ${this.numEnvs}: ${all.slice(0, 8).join(" ")}`,
      why: "an action is 0 (left) or 1 (right)",
      fix: "pass one for each environment, in their order",
    });
  }
}

/** One Euler step of a state, in the order of operations of Gymnasium's `cartpole.py`. */
function advance(state: Float64Array, force: number): void {
  const [x, velocity, angle, turn] = state as unknown as [number, number, number, number];
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const push = (force + POLE_MASS_LENGTH * (turn * turn) * sin) / TOTAL_MASS;
  const turnRate =
    (GRAVITY * sin - cos * push) / (LENGTH * (4 / 3 - (POLE_MASS * (cos * cos)) / TOTAL_MASS));
  const acceleration = push - (POLE_MASS_LENGTH * turnRate * cos) / TOTAL_MASS;
  state[0] = x + TAU * velocity;
  state[1] = velocity + TAU * acceleration;
  state[2] = angle + TAU * turn;
  state[3] = turn + TAU * turnRate;
}

function isBeyond(value: number | undefined, limit: number): boolean {
  return value === undefined || value < -limit || value > limit;
}

function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new ForgeError({
    code: "argument_invalid",
    what: `cartPole: ${name} is no count.`,
    got: String(value),
    fix: "pass a whole number from 1 on",
  });
}
