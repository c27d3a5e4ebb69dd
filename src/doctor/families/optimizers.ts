/** Optimizer steps with clipping to a global norm: three steps of each, against the published formulas. */
import {
  AdamW,
  compile,
  type Device,
  parameter,
  SGD,
  type State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { generator, uniform } from "../../bench/numbers.ts";
import type { SelfTest, Values } from "../self-test.ts";

const STEPS = 3;
const LR = 0.05;
const DECAY = 0.1;
const CLIP = 2;
/** Sizes of the parameters; the first decays, the second (one axis) does not. */
const SHAPES = [[9, 36], [33]] as const;

/** The tests. */
export function optimizerTests(): SelfTest[] {
  const shared = { lr: LR, weightDecay: DECAY, clipNorm: CLIP };
  return [
    optimizerTest(
      "AdamW",
      (device, parameters) => new AdamW(device, parameters, { ...shared, betas: BETAS }),
      adamw,
    ),
    optimizerTest(
      "SGD with Nesterov momentum",
      (device, parameters) =>
        new SGD(device, parameters, { ...shared, momentum: MOMENTUM, nesterov: true }),
      sgd,
    ),
  ];
}

type Engine = (device: Device, parameters: State[]) => Pick<AdamW, "step" | typeof Symbol.dispose>;

/** Moments of one number. */
interface Moments {
  m: number;
  v: number;
}

/** New value of a number, with its clipped gradient; `moments` are updated. Steps count from 1. */
type Update = (
  value: number,
  gradient: number,
  decay: number,
  step: number,
  moments: Moments,
) => number;

const BETAS = [0.9, 0.99] as const;
const EPSILON = 1e-8;
const MOMENTUM = 0.8;

/** Loshchilov & Hutter, arXiv:1711.05101, in PyTorch's form. */
const adamw: Update = (value, gradient, decay, step, moments) => {
  const [beta1, beta2] = BETAS;
  moments.m = beta1 * moments.m + (1 - beta1) * gradient;
  moments.v = beta2 * moments.v + (1 - beta2) * gradient ** 2;
  const m = moments.m / (1 - beta1 ** step);
  const v = moments.v / (1 - beta2 ** step);
  return value - LR * (m / (Math.sqrt(v) + EPSILON) + decay * value);
};

/** PyTorch's SGD, dampening 0. */
const sgd: Update = (value, gradient, decay, _step, moments) => {
  const g = gradient + decay * value;
  moments.v = MOMENTUM * moments.v + g;
  return value - LR * (g + MOMENTUM * moments.v);
};

function optimizerTest(name: string, make: Engine, update: Update): SelfTest {
  const next = generator(23);
  const data = SHAPES.map((shape) => {
    const count = shape.reduce((a: number, b) => a * b, 1);
    const gradients = Array.from({ length: STEPS }, () => uniform(count, next, -1, 1));
    return { shape, values: uniform(count, next, -1, 1), gradients };
  });
  const actual = async (device: Device): Promise<Values[]> => {
    const parameters = data.map(({ shape, values }, i) => parameter(shape, values, `p${i}`));
    const optimizer = make(device, parameters);
    const step = compile((a: Tensor, b: Tensor) => optimizer.step([a, b]).gradNorm, {
      device,
      label: `self-test ${name}`,
    });
    const norms: number[] = [];
    for (let s = 0; s < STEPS; s++) {
      const [a, b] = data.map(({ shape, gradients }) => tensor(gradients[s] ?? [], shape));
      if (!a || !b) throw new Error("two parameters are expected");
      norms.push(await (await step(a, b)).item());
    }
    const results: Values[] = [{ name: "norm", values: norms }];
    for (const [i, p] of parameters.entries()) {
      results.push({ name: `parameter ${i}`, values: await p.read() });
    }
    step[Symbol.dispose]();
    optimizer[Symbol.dispose]();
    return results;
  };
  const expected = (): Values[] => {
    const parameters = data.map(({ values }) => Float64Array.from(values));
    const moments = data.map(({ values }) => [...values].map((): Moments => ({ m: 0, v: 0 })));
    const norms: number[] = [];
    for (let s = 0; s < STEPS; s++) {
      const all = data.flatMap(({ gradients }) => [...(gradients[s] ?? [])]);
      const norm = Math.sqrt(all.reduce((total, g) => total + g * g, 0));
      norms.push(norm);
      const factor = Math.min(1, CLIP / (norm + 1e-6));
      parameters.forEach((values, p) => {
        const decay = p === 0 ? DECAY : 0;
        values.forEach((value, i) => {
          const gradient = factor * Number(data[p]?.gradients[s]?.[i]);
          const own = moments[p]?.[i] ?? { m: 0, v: 0 };
          values[i] = update(value, gradient, decay, s + 1, own);
        });
      });
    }
    return [
      { name: "norm", values: norms },
      ...parameters.map((values, i) => ({ name: `parameter ${i}`, values })),
    ];
  };
  return { family: "optimizers and global norm", name, tolerance: 1e-5, actual, expected };
}
