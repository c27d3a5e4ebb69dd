/** What tests of trainers share: models with weights worth training, and the gradients that a step should have. */
import {
  type CausalLM,
  compile,
  createModel,
  grad,
  type ModelConfig,
  namedParameters,
  packSequences,
  parametersOf,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import type { ForestSample } from "../../src/pool/forest-batch.ts";
import { device, randoms } from "./gpu.ts";

const SIZES = { layers: 2, width: 32, heads: 4, kvHeads: 2, mlpWidth: 48 };

/** A small model whose weights are drawn in ±0.4: far from alike, as those are that models start with. */
export async function drawnModel(vocab: number, seed = 13): Promise<CausalLM> {
  const shared = await device();
  const model = smallModel({ vocab });
  const random = randoms(seed);
  for (const [name, state] of namedParameters(model.transformer)) {
    if (!/norm/i.test(name)) state.write(shared, random.floats(state.size, -0.4, 0.4));
  }
  return model;
}

/** The same as it starts. */
export function smallModel(options: Pick<ModelConfig, "vocab"> & Partial<ModelConfig>): CausalLM {
  return createModel({ ...SIZES, ...options });
}

/** Values of all parameters that are trained. */
export async function parameterValues(model: CausalLM): Promise<Float32Array[]> {
  const states = parametersOf(model.transformer);
  return Promise.all(states.map(async (state) => (await state.read()) as Float32Array));
}

/** What some work changes parameters by. */
export async function changeOf(
  model: CausalLM,
  work: () => Promise<unknown>,
): Promise<Float64Array[]> {
  const before = await parameterValues(model);
  await work();
  const after = await parameterValues(model);
  return after.map((values, p) =>
    Float64Array.from(values, (x, i) => x - ((before[p] as Float32Array)[i] as number)),
  );
}

/** A sequence by itself: log-probs of its trained tokens, and the gradient of their sum. */
export interface SequenceGradient {
  readonly logprobs: Float64Array;
  /** Of each parameter. */
  readonly grads: readonly Float32Array[];
}

/** Each sequence in a pass of its own, neither packed nor padded. */
export async function sequenceGradients(
  { transformer }: CausalLM,
  samples: readonly ForestSample[],
): Promise<SequenceGradient[]> {
  const parameters = parametersOf(transformer);
  using run = compile((tokens: Tensor, labels: Tensor, end: Tensor, depth: Tensor) => {
    const { logprob } = transformer.score(tokens, labels, { end, depth });
    return { logprob, grads: grad(logprob.sum(), parameters) };
  });
  const all: SequenceGradient[] = [];
  for (const { ids, trained } of samples) {
    const labels = new Uint32Array(ids.length).fill(0xffffffff);
    for (const [from, to] of trained) labels.set(ids.subarray(from, to), from - 1);
    const { end, depth } = packSequences([ids.length]);
    const { logprob, grads } = await run(tensor(ids), tensor(labels), tensor(end), tensor(depth));
    const read = await logprob.read();
    all.push({
      logprobs: Float64Array.from([...read].filter((_, t) => labels[t] !== 0xffffffff)),
      grads: await Promise.all(grads.map(async (g) => (await g.read()) as Float32Array)),
    });
  }
  return all;
}

/** Σ of coefficient · gradient over sequences, in f64. */
export function combined(
  sequences: readonly SequenceGradient[],
  coefficients: ArrayLike<number>,
): Float64Array[] {
  const [first] = sequences as [SequenceGradient];
  const sums = first.grads.map((g) => new Float64Array(g.length));
  sequences.forEach(({ grads }, s) => {
    grads.forEach((g, p) => {
      const sum = sums[p] as Float64Array;
      for (let i = 0; i < g.length; i++)
        sum[i] = (sum[i] as number) + (coefficients[s] as number) * (g[i] as number);
    });
  });
  return sums;
}
