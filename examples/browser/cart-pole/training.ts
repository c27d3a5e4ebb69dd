/** CartPole in the worker: PPO with eight carts, and the policy at play with one. */
import {
  ActionSampler,
  type CartPoleState,
  ControlPpo,
  type ControlPpoState,
  cartPole,
  type Device,
  type VectorEnvironment,
  type VectorStep,
} from "forge-gpu";
import { safetensorsOf } from "../files.ts";
import type { Download, OpenOptions, Training } from "../training.ts";
import {
  type CartPoleAt,
  type CartPoleProgress,
  type EndedCart,
  type Frame,
  type ReturnPoint,
  SMOOTHED,
  TOTAL_STEPS,
} from "./progress.ts";

const CARTS = 8;
/** Numbers of a state: position, velocity, angle, angular velocity. */
const SIZE = 4;
/** What the physics takes a step to last. */
const STEP_MS = 20;

interface CartPoleCheckpoint {
  readonly ppo: ControlPpoState;
  readonly points: readonly ReturnPoint[];
  readonly seconds: number;
}

export class CartPoleTraining implements Training<CartPoleCheckpoint> {
  readonly #tell: (progress: CartPoleProgress) => void;
  readonly #device: Device;
  readonly #seed: number;
  readonly #ppo: ControlPpo;
  readonly #points: ReturnPoint[];
  #frames: Frame[] = [];
  #seconds: number;
  #play: CartPolePlay | undefined;

  /** A new run, or one that goes on from a checkpoint of the same seed. */
  static open(options: OpenOptions<CartPoleProgress>): CartPoleTraining {
    return new CartPoleTraining(options);
  }

  private constructor({ device, seed, tell, from }: OpenOptions<CartPoleProgress>) {
    const checkpoint = from as CartPoleCheckpoint | undefined;
    this.#device = device;
    this.#seed = seed;
    this.#tell = tell;
    const environment = watched(cartPole({ numEnvs: CARTS }), (step) => {
      this.#frames.push(frameOf(step));
    });
    // The settings of examples/cartpole: those of Stable-Baselines3's zoo.
    this.#ppo = new ControlPpo({
      ...{ device, environment, seed, totalTimesteps: TOTAL_STEPS },
      ...{ numSteps: 32, numMinibatches: 1, updateEpochs: 20, gamma: 0.98, gaeLambda: 0.8 },
      ...{ learningRate: 1e-3, annealClip: true, clipVloss: false, entCoef: 0 },
    });
    if (checkpoint) this.#ppo.restore(checkpoint.ppo);
    this.#points = [...(checkpoint?.points ?? [])];
    this.#seconds = checkpoint?.seconds ?? 0;
    tell({ kind: "history", points: this.#points, at: this.#at });
  }

  get isDone(): boolean {
    return this.#ppo.isDone;
  }

  get label(): string {
    const recent = this.#points.slice(-SMOOTHED).map(({ meanReturn }) => meanReturn);
    const mean = recent.reduce((sum, value) => sum + value, 0) / recent.length;
    const steps = `${this.#ppo.globalStep.toLocaleString("en")} steps`;
    return recent.length === 0 ? steps : `${steps}, return ${mean.toFixed(0)}`;
  }

  async step(): Promise<void> {
    this.#endPlay();
    this.#frames = [];
    const started = performance.now();
    const { "charts/episodic_return": meanReturn } = await this.#ppo.update();
    this.#seconds += (performance.now() - started) / 1000;
    const point = meanReturn === undefined ? undefined : { steps: this.#at.steps, meanReturn };
    if (point) this.#points.push(point);
    this.#tell({ kind: "update", at: this.#at, point, frames: this.#frames });
  }

  async save(): Promise<CartPoleCheckpoint> {
    return { ppo: await this.#ppo.save(), points: this.#points, seconds: this.#seconds };
  }

  async download(): Promise<Download> {
    const { steps } = this.#at;
    const metadata = { environment: "CartPole-v1", seed: String(this.#seed), steps: String(steps) };
    return {
      name: `cartpole-seed${this.#seed}-${steps}.safetensors`,
      bytes: await safetensorsOf(this.#ppo.policy, metadata),
    };
  }

  async play(): Promise<number> {
    this.#play ??= new CartPolePlay(this.#device, this.#ppo, this.#seed);
    this.#tell({ kind: "play", ...(await this.#play.step()) });
    return STEP_MS;
  }

  push(velocity: number): void {
    this.#play?.push(velocity);
  }

  #endPlay(): void {
    this.#play?.[Symbol.dispose]();
    this.#play = undefined;
  }

  get #at(): CartPoleAt {
    return {
      ...{ steps: this.#ppo.globalStep, totalSteps: TOTAL_STEPS },
      seconds: this.#seconds,
    };
  }
}

/** One cart, played with the most probable action always, and pushed now and then. */
class CartPolePlay implements Disposable {
  readonly #environment: VectorEnvironment = cartPole({ maxEpisodeSteps: 2 ** 31 });
  readonly #sampler: ActionSampler;
  #observations: Float32Array;
  #step = 0;
  #begun = 0;

  constructor(device: Device, { policy }: ControlPpo, seed: number) {
    this.#sampler = new ActionSampler(device, policy, { numEnvs: 1, seed, isGreedy: true });
    this.#observations = this.#environment.reset(seed);
  }

  async step(): Promise<{ readonly frame: Frame; readonly seconds: number }> {
    const actions = await this.#sampler.act(this.#observations, this.#step);
    const step = this.#environment.step(actions);
    this.#step++;
    this.#observations = step.observations;
    const seconds = ((this.#step - this.#begun) * STEP_MS) / 1000;
    if (step.terminated[0]) this.#begun = this.#step;
    return { frame: frameOf(step), seconds };
  }

  push(velocity: number): void {
    const state = this.#environment.save() as CartPoleState;
    state.states[1] = (state.states[1] as number) + velocity;
    this.#environment.restore(state);
    this.#observations = Float32Array.from(state.states);
  }

  [Symbol.dispose](): void {
    this.#sampler[Symbol.dispose]();
  }
}

/** An environment whose every step is looked at. */
function watched(
  environment: VectorEnvironment,
  onStep: (step: VectorStep) => void,
): VectorEnvironment {
  const { numEnvs, observationSize, numActions } = environment;
  return {
    ...{ numEnvs, observationSize, numActions },
    reset: (seed) => environment.reset(seed),
    step: (actions) => {
      const step = environment.step(actions);
      onStep(step);
      return step;
    },
    save: () => environment.save(),
    restore: (state) => environment.restore(state),
  };
}

function frameOf({ observations, finalObservations, terminated, truncated }: VectorStep): Frame {
  const carts = terminated.map((_, n) => n);
  const ended = carts
    .filter((n) => terminated[n] || truncated[n])
    .map(
      (cart): EndedCart => ({
        cart,
        position: finalObservations[SIZE * cart] as number,
        angle: finalObservations[SIZE * cart + 2] as number,
        hasStood: !terminated[cart],
      }),
    );
  return {
    positions: carts.map((n) => observations[SIZE * n] as number),
    angles: carts.map((n) => observations[SIZE * n + 2] as number),
    ended,
  };
}
