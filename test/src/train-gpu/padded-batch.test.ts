import { beforeAll, expect, it } from "vitest";
import {
  type CausalLM,
  compile,
  createModel,
  grad,
  namedParameters,
  parametersOf,
  type Tensor,
  take,
  tensor,
} from "../../../engine/index.ts";
import { buildForest } from "../../../src/pool/forest.ts";
import type { ForestBatch } from "../../../src/pool/forest-batch.ts";
import { tokenValues } from "../../../src/pool/forest-samples.ts";
import { Scorer } from "../../../src/rollout/scorer.ts";
import { forestLogprobs } from "../../../src/train/learner/forest-logprobs.ts";
import {
  type BatchTensors,
  batchTensors,
  type PaddedBatch,
  padBatch,
  padValues,
} from "../../../src/train/learner/padded-batch.ts";
import { eventfulEpisodes, valuesFor } from "../../support/episodes.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const SHAPE = { seed: 8, vocab: 48, prompt: 9, turns: 3, action: 4, observation: 5, group: 3 };
const SAMPLES = eventfulEpisodes(SHAPE);
const TEMPERATURE = 0.7;
const [BATCH] = buildForest(SAMPLES).batches as [ForestBatch];

let model: CausalLM;
beforeAll(async () => {
  const shared = await device();
  model = createModel({
    ...{ vocab: SHAPE.vocab, layers: 2, width: 32, heads: 4, kvHeads: 2, mlpWidth: 48 },
    ...{ family: "gemma2", logitSoftcap: 2 },
  });
  const random = randoms(13);
  for (const [name, state] of namedParameters(model.transformer)) {
    if (!/norm/i.test(name)) state.write(shared, random.floats(state.size, -0.4, 0.4));
  }
});

/** Log-probs and entropies of edges, and the gradient of Σ weight · (log-prob + entropy / 2) over trained tokens. */
async function run(batch: PaddedBatch, weights: Float32Array): Promise<Float32Array[]> {
  const parameters = parametersOf(model.transformer);
  using step = compile((tensors: BatchTensors, weight: Tensor) => {
    const { logprobs, entropies } = forestLogprobs(model, tensors, { temperature: TEMPERATURE });
    const value = take(logprobs.add(entropies.mul(0.5)), tensors.edges);
    const loss = value.mul(weight).sum();
    return { logprobs, entropies, grads: grad(loss, parameters) };
  });
  const { logprobs, entropies, grads } = await step(batchTensors(batch), tensor(weights));
  const all = [logprobs, entropies, ...grads];
  return Promise.all(all.map(async (t) => (await t.read()) as Float32Array));
}

it("gives the log-probs, entropies and gradients of the batch without padding", async () => {
  const { samples, ...arrays } = BATCH;
  const sizes = { tokens: 0, edges: 0, trained: 0, sequences: samples.length };
  const random = randoms(2);
  const weights = tokenValues(
    BATCH,
    valuesFor(SAMPLES, () => 2 * random.next() - 1),
  );
  const plain = await run({ ...arrays, sizes, real: sizes }, Float32Array.from(weights));
  const batch = padBatch(BATCH);
  const padded = await run(batch, padValues(weights, batch.sizes.trained));
  const edges = batch.real.edges;
  const [logprobs, entropies, ...grads] = padded as [Float32Array, Float32Array, ...Float32Array[]];
  expectClose(logprobs.subarray(0, edges), plain[0] as Float32Array, TOLERANCES.logProb);
  expectClose(entropies.subarray(0, edges), plain[1] as Float32Array, TOLERANCES.logProb);
  expect([...logprobs.subarray(edges)]).toEqual(new Array(batch.sizes.edges - edges).fill(0));
  parametersOf(model.transformer).forEach((p, i) => {
    const [own, expected] = [grads[i] as Float32Array, plain[i + 2] as Float32Array];
    expectClose(own, expected, TOLERANCES.parameterGradient, p.name);
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-3);
  });
});

it("gives the log-probs of the sampler's reference, softcap and temperature included", async () => {
  using scorer = new Scorer({ device: await device(), model });
  const scores = await scorer.score(SAMPLES, { temperature: TEMPERATURE });
  const batch = padBatch(BATCH);
  const [logprobs] = (await run(batch, new Float32Array(batch.sizes.trained))) as [Float32Array];
  SAMPLES.forEach(({ trained }, s) => {
    const [from = 0, to = 0] = BATCH.offsets.subarray(s, s + 2);
    const own = [...BATCH.edges.subarray(from, to)].map((edge) => logprobs[edge] as number);
    const all = scores[s]?.logprobs as readonly number[];
    // scores begin with the log-prob of token 1
    const expected = trained.flatMap(([first, past]) => all.slice(first - 1, past - 1));
    expectClose(own, expected, TOLERANCES.logProb, `sample ${s}`);
  });
});
