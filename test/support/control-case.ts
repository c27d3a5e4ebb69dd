/** A minibatch of PPO on small networks, with every branch of the loss in it. */
import type { Batch } from "../../src/control/ppo-learner.ts";
import {
  perceptron,
  type ReferenceLayer,
  type ReferenceMinibatch,
} from "../reference/control-ppo.ts";
import { logSoftmax } from "../reference/softmax.ts";
import { randoms } from "./gpu.ts";

export const CONTROL_SIZES = { observationSize: 3, hiddenSizes: [5, 4], numActions: 3 } as const;
const STEPS = 24;

/** Networks and M steps: ratios from 0.6 to 1.6, values beyond and within the clip, advantages of both signs. */
export interface ControlCase {
  readonly actor: readonly ReferenceLayer[];
  readonly critic: readonly ReferenceLayer[];
  readonly batch: Batch;
}

export function controlCase(seed: number): ControlCase {
  const random = randoms(seed);
  const { observationSize, hiddenSizes, numActions } = CONTROL_SIZES;
  const layers = (last: number): ReferenceLayer[] => {
    const sizes = [observationSize, ...hiddenSizes, last];
    return sizes.slice(1).map((outputs, i) => {
      const inputs = sizes[i] as number;
      return {
        inputs,
        outputs,
        weight: random.floats(inputs * outputs),
        bias: random.floats(outputs),
      };
    });
  };
  const [actor, critic] = [layers(numActions), layers(1)];
  const observations = random.floats(STEPS * observationSize, -2, 2);
  const actions = Uint32Array.from(random.integers(STEPS, 0, numActions));
  const logprobs = logSoftmax(STEPS, numActions, perceptron(actor, observations));
  const values = perceptron(critic, observations);
  const column = (of: (row: number) => number): Float32Array =>
    Float32Array.from({ length: STEPS }, (_, row) => of(row));
  const oldValues = column((row) => Number(values[row]) + 0.8 * (random.next() - 0.5));
  return {
    actor,
    critic,
    batch: {
      observations,
      actions,
      oldLogprobs: column(
        (row) =>
          Number(logprobs[row * numActions + Number(actions[row])]) - Math.log(0.6 + random.next()),
      ),
      advantages: Float64Array.from(random.floats(STEPS, -2, 2)),
      returns: Float64Array.from(oldValues, (v) => v + 2 * (random.next() - 0.5)),
      oldValues,
    },
  };
}

/** The columns of a batch with its advantages as the update sees them. */
export function asMinibatch(batch: Batch, normAdv: boolean): ReferenceMinibatch {
  const { advantages } = batch;
  const mean = advantages.reduce((a, b) => a + b) / advantages.length;
  const squares = advantages.reduce((sum, a) => sum + (a - mean) ** 2, 0);
  const std = Math.sqrt(squares / (advantages.length - 1));
  return normAdv
    ? { ...batch, advantages: advantages.map((a) => (a - mean) / (std + 1e-8)) }
    : batch;
}
