/** The compiled half of PPO: what the networks say of a rollout, and the steps that train them on it. */
import {
  AdamW,
  type Compiled,
  compile,
  type Device,
  ForgeError,
  grad,
  logSoftmax,
  type OptimizerState,
  parametersOf,
  type State,
  type Tensor,
  takeAlongAxis,
  tensor,
} from "../../engine/index.ts";
import { normalized } from "../rl/statistics.ts";
import type { ActorCritic } from "./actor-critic.ts";
import { type Minibatch, type PpoLoss, ppoLoss } from "./ppo-loss.ts";
import type { ControlPpoSettings } from "./ppo-options.ts";
import type { Rollout } from "./rollout.ts";

/** Steps to learn from, as the host holds them; a minibatch is some of their rows. */
export interface Batch {
  /** [B, D] or more rows. */
  readonly observations: Float32Array;
  /** [B], and so are all that follow. */
  readonly actions: Uint32Array;
  readonly oldLogprobs: Float32Array;
  readonly advantages: Float64Array;
  readonly returns: Float64Array;
  readonly oldValues: Float32Array;
}

/** {@link PpoLoss} before the step, and the norm of its gradients before clipping. */
export type PpoStep = PpoLoss & { readonly gradNorm: Tensor };

/** The plans over two networks, and their optimizer. */
export class PpoLearner implements Disposable {
  readonly optimizer: AdamW;
  /** Adam's rate from the next step on. */
  learningRate: number;
  readonly #device: Device;
  readonly #observationSize: number;
  readonly #normAdv: boolean;
  readonly #logprobs: Compiled<[observations: Tensor, actions: Tensor], Tensor>;
  readonly #values: Compiled<[observations: Tensor], Tensor>;
  readonly #step: Compiled<[minibatch: Minibatch, clipCoef: Tensor], PpoStep>;

  constructor(
    device: Device,
    policy: ActorCritic,
    settings: ControlPpoSettings,
    observationSize: number,
  ) {
    this.#device = device;
    this.#observationSize = observationSize;
    this.#normAdv = settings.normAdv;
    this.learningRate = settings.learningRate;
    this.optimizer = new AdamW(device, parametersOf(policy), {
      lr: () => this.learningRate,
      eps: 1e-5,
      clipNorm: settings.maxGradNorm,
    });
    this.#logprobs = compile(
      (observations, actions) =>
        takeAlongAxis(logSoftmax(policy.logits(observations)), actions.unsqueeze(1)).squeeze(1),
      { device, label: "logprobs" },
    );
    this.#values = compile((observations) => policy.values(observations), {
      device,
      label: "values",
    });
    this.#step = compile(
      (minibatch, clipCoef) => {
        const { observations } = minibatch;
        const [logits, values] = [policy.logits(observations), policy.values(observations)];
        const loss = ppoLoss(minibatch, { logits, values, clipCoef }, settings);
        const gradients = grad(loss.loss, this.optimizer.parameters);
        return { ...loss, gradNorm: this.optimizer.step(gradients).gradNorm };
      },
      { device, label: "ppo step" },
    );
  }

  /** Log-probabilities [T · N] of what was done, all at once: acting reads back nothing but actions. */
  async logprobs({ observations, actions }: Rollout): Promise<Float32Array> {
    const acted = observations.subarray(0, actions.length * this.#observationSize);
    const result = await this.#logprobs(this.#rows(acted), tensor(actions));
    return (await result.read()) as Float32Array;
  }

  /** Values [(T + 1) · N] of what was observed. */
  async values({ observations }: Rollout): Promise<Float32Array> {
    return (await (await this.#values(this.#rows(observations))).read()) as Float32Array;
  }

  /** Values of where episodes were cut off, by row: one more call of the same plan, where there are any. */
  async cutOffValues({ observations, cutOff }: Rollout): Promise<Map<number, number>> {
    if (cutOff.size === 0) return new Map();
    const padded = new Float32Array(observations.length);
    [...cutOff.values()].forEach((row, i) => {
      padded.set(row, i * this.#observationSize);
    });
    const values = await (await this.#values(this.#rows(padded))).read();
    return new Map([...cutOff.keys()].map((row, i) => [row, values[i] as number]));
  }

  /** One step of the optimizer on some rows of a batch. Nothing is read back. */
  step(batch: Batch, rows: Uint32Array, clipCoef: number): Promise<PpoStep> {
    const width = this.#observationSize;
    const observations = new Float32Array(rows.length * width);
    rows.forEach((row, i) => {
      observations.set(batch.observations.subarray(row * width, (row + 1) * width), i * width);
    });
    const pick = (column: ArrayLike<number>): number[] =>
      Array.from(rows, (row) => column[row] as number);
    const column = (values: ArrayLike<number>): Tensor => tensor(Float32Array.from(values));
    const advantages = pick(batch.advantages);
    return this.#step(
      {
        observations: this.#rows(observations),
        actions: tensor(Uint32Array.from(pick(batch.actions))),
        oldLogprobs: column(pick(batch.oldLogprobs)),
        advantages: column(this.#normAdv ? normalized(advantages) : advantages),
        returns: column(pick(batch.returns)),
        oldValues: column(pick(batch.oldValues)),
      },
      tensor(Float32Array.of(clipCoef), []),
    );
  }

  /** Puts back what the parameters and their optimizer were. Errors: `argument_invalid`, `shape_mismatch`; nothing is changed then. */
  restore(parameters: Readonly<Record<string, Float32Array>>, optimizer: OptimizerState): void {
    for (const state of this.optimizer.parameters) {
      const length = parameters[state.name]?.length;
      if (length !== state.size) throw misfit(state, length);
    }
    this.optimizer.restore(optimizer);
    for (const state of this.optimizer.parameters) {
      state.write(this.#device, parameters[state.name] as Float32Array);
    }
  }

  [Symbol.dispose](): void {
    for (const part of [this.#logprobs, this.#values, this.#step, this.optimizer]) {
      part[Symbol.dispose]();
    }
    for (const state of this.optimizer.parameters) state[Symbol.dispose]();
  }

  #rows(observations: Float32Array): Tensor {
    const width = this.#observationSize;
    return tensor(observations, [observations.length / width, width]);
  }
}

function misfit(state: State, length: number | undefined): ForgeError {
  return new ForgeError({
    code: length === undefined ? "argument_invalid" : "shape_mismatch",
    what: "restore: the saved state is that of other networks.",
    got: `${length ?? "no"} elements for "${state.name}", which has ${state.size}`,
    fix: "make the trainer with the networks that were saved",
  });
}
