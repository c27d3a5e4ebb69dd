/** Oracle of PPO on two perceptrons: loss, and gradients by hand, in f64. */
import { logSoftmax } from "./softmax.ts";

type Numbers = ArrayLike<number>;

/** y = x · weight + bias; tanh before every layer but the first. */
export interface ReferenceLayer {
  readonly inputs: number;
  readonly outputs: number;
  /** [inputs, outputs] */
  readonly weight: Numbers;
  /** [outputs] */
  readonly bias: Numbers;
}

/** Columns of M steps, as `Minibatch`. */
export interface ReferenceMinibatch {
  readonly observations: Numbers;
  readonly actions: Numbers;
  readonly oldLogprobs: Numbers;
  readonly advantages: Numbers;
  readonly returns: Numbers;
  readonly oldValues: Numbers;
}

export interface ReferenceCoefficients {
  readonly clipCoef: number;
  readonly clipVloss: boolean;
  readonly entCoef: number;
  readonly vfCoef: number;
}

/** Losses, and the gradients of (weight, bias) of each layer: actor's, then critic's. */
export interface ReferenceStep {
  readonly losses: Readonly<
    Record<
      "loss" | "policyLoss" | "valueLoss" | "entropy" | "oldApproxKl" | "approxKl" | "clipFraction",
      number
    >
  >;
  readonly gradients: readonly Float64Array[];
}

/** What every layer of a perceptron reads, and what the last one gives: [rows, inputs] each. */
function forward(layers: readonly ReferenceLayer[], x: Numbers, rows: number): Float64Array[] {
  const passed: Float64Array[] = [Float64Array.from(x)];
  for (const [i, { inputs, outputs, weight, bias }] of layers.entries()) {
    const from = passed.at(-1) as Float64Array;
    const last = i === layers.length - 1;
    passed.push(
      Float64Array.from({ length: rows * outputs }, (_, at) => {
        const [row, column] = [Math.floor(at / outputs), at % outputs];
        let sum = Number(bias[column]);
        for (let k = 0; k < inputs; k++) {
          sum += Number(from[row * inputs + k]) * Number(weight[k * outputs + column]);
        }
        return last ? sum : Math.tanh(sum);
      }),
    );
  }
  return passed;
}

/** What a perceptron gives: [rows, outputs]. */
export function perceptron(layers: readonly ReferenceLayer[], x: Numbers): Float64Array {
  const rows = x.length / (layers[0]?.inputs ?? 1);
  return forward(layers, x, rows).at(-1) as Float64Array;
}

/** Gradients of (weight, bias) of each layer, given that of the output. */
function backward(
  layers: readonly ReferenceLayer[],
  passed: readonly Float64Array[],
  dy: Float64Array,
): Float64Array[] {
  const gradients: Float64Array[] = [];
  let dout = dy;
  for (let i = layers.length - 1; i >= 0; i--) {
    const { inputs, outputs, weight } = layers[i] as ReferenceLayer;
    const x = passed[i] as Float64Array;
    const rows = dout.length / outputs;
    const dweight = new Float64Array(inputs * outputs);
    const dbias = new Float64Array(outputs);
    const dx = new Float64Array(x.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < outputs; column++) {
        const d = Number(dout[row * outputs + column]);
        dbias[column] = Number(dbias[column]) + d;
        for (let k = 0; k < inputs; k++) {
          const at = k * outputs + column;
          dweight[at] = Number(dweight[at]) + d * Number(x[row * inputs + k]);
          dx[row * inputs + k] = Number(dx[row * inputs + k]) + d * Number(weight[at]);
        }
      }
    }
    gradients.unshift(dweight, dbias);
    dout = dx.map((d, at) => d * (1 - Number(x[at]) ** 2)); // x is tanh of what the layer before gave
  }
  return gradients;
}

/** One minibatch: losses as in CleanRL's ppo.py, with gradients. */
export function ppoReference(
  actor: readonly ReferenceLayer[],
  critic: readonly ReferenceLayer[],
  minibatch: ReferenceMinibatch,
  { clipCoef, clipVloss, entCoef, vfCoef }: ReferenceCoefficients,
): ReferenceStep {
  const rows = minibatch.actions.length;
  const actorPassed = forward(actor, minibatch.observations, rows);
  const criticPassed = forward(critic, minibatch.observations, rows);
  const [logits, values] = [actorPassed.at(-1), criticPassed.at(-1)] as [
    Float64Array,
    Float64Array,
  ];
  const count = logits.length / rows;
  const logprobs = logSoftmax(rows, count, logits);
  const dlogits = new Float64Array(logits.length);
  const dvalues = new Float64Array(rows);
  const sums = { policy: 0, value: 0, entropy: 0, k1: 0, k3: 0, clipped: 0 };
  for (let row = 0; row < rows; row++) {
    const at = (column: Numbers): number => Number(column[row]);
    const own = logprobs.subarray(row * count, (row + 1) * count);
    const action = at(minibatch.actions);
    const logRatio = Number(own[action]) - at(minibatch.oldLogprobs);
    const ratio = Math.exp(logRatio);
    const advantage = at(minibatch.advantages);
    const held = Math.min(Math.max(ratio, 1 - clipCoef), 1 + clipCoef);
    const isClipped = -advantage * held > -advantage * ratio;
    sums.policy += -advantage * (isClipped ? held : ratio);
    sums.k1 -= logRatio;
    sums.k3 += ratio - 1 - logRatio;
    sums.clipped += Math.abs(ratio - 1) > clipCoef ? 1 : 0;
    const entropy = -own.reduce((sum, l) => sum + Math.exp(l) * l, 0);
    sums.entropy += entropy;
    const dlogprob = isClipped ? 0 : -advantage * ratio;
    own.forEach((l, k) => {
      const p = Math.exp(l);
      const dpolicy = dlogprob * ((k === action ? 1 : 0) - p);
      const dentropy = -p * (l + entropy);
      dlogits[row * count + k] = (dpolicy - entCoef * dentropy) / rows;
    });
    const [error, before] = [at(values) - at(minibatch.returns), at(minibatch.oldValues)];
    const near = before + Math.min(Math.max(at(values) - before, -clipCoef), clipCoef);
    const nearError = near - at(minibatch.returns);
    const isHeld = clipVloss && nearError ** 2 > error ** 2;
    sums.value += 0.5 * (isHeld ? nearError : error) ** 2;
    dvalues[row] = isHeld ? 0 : (vfCoef * error) / rows;
  }
  const [policyLoss, valueLoss, entropy] = [sums.policy, sums.value, sums.entropy].map(
    (sum) => sum / rows,
  ) as [number, number, number];
  return {
    losses: {
      loss: policyLoss - entCoef * entropy + vfCoef * valueLoss,
      ...{ policyLoss, valueLoss, entropy },
      oldApproxKl: sums.k1 / rows,
      approxKl: sums.k3 / rows,
      clipFraction: sums.clipped / rows,
    },
    gradients: [
      ...backward(actor, actorPassed, dlogits),
      ...backward(critic, criticPassed, dvalues),
    ],
  };
}
