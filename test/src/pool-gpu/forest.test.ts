import { beforeAll, describe, expect, it } from "vitest";
import {
  type Compiled,
  compile,
  type Device,
  embedding,
  grad,
  lmHead,
  namedParameters,
  packSequences,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  take,
  tensor,
} from "../../../engine/index.ts";
import { buildForest, type ForestOptions } from "../../../src/pool/forest.ts";
import type { ForestBatch, ForestSample } from "../../../src/pool/forest-batch.ts";
import { edgeCoefficients, gatherEdges, tokenValues } from "../../../src/pool/forest-samples.ts";
import { eventfulEpisodes, valuesFor } from "../../support/episodes.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const SHAPE = { seed: 8, vocab: 48, prompt: 9, turns: 3, action: 4, observation: 5, group: 3 };
const SAMPLES = eventfulEpisodes(SHAPE);

/** What is read where in a forest, and the weight of each log-prob. */
interface Batch extends Pick<ForestBatch, "tokens" | "end" | "depth" | "rows" | "targets"> {
  readonly weights: Float64Array;
  /** The row of each weight. Default: one after the other. */
  readonly edges?: Uint32Array;
}

type Step = Compiled<Tensor[], { logprob: Tensor; grads: Tensor[] }>;

let model: Transformer;
let step: Step;
beforeAll(async () => {
  const shared: Device = await device();
  model = new Transformer(new Random(7), {
    ...{ vocab: SHAPE.vocab, layers: 2, width: 32, heads: 4, kvHeads: 2, isTied: false },
  });
  const random = randoms(13);
  for (const [name, state] of namedParameters(model)) {
    if (!/norm/i.test(name)) state.write(shared, random.floats(state.size, -0.4, 0.4));
  }
  step = compile((...[tokens, end, depth, rows, targets, edges, weights]: Tensor[]) => {
    const hidden = model.hidden(tokens as Tensor, { end: end as Tensor, depth: depth as Tensor });
    const read = embedding(rows as Tensor, hidden);
    const { logprob } = lmHead(read, model.head, targets as Tensor);
    const loss = take(logprob, edges as Tensor)
      .mul(weights as Tensor)
      .sum();
    return { logprob, grads: grad(loss, parametersOf(model)) };
  });
});

/** Log-probs of the rows, and the gradient of Σ weight · log-prob, a list for each parameter. */
async function run(batch: Batch): Promise<{ logprobs: Float32Array; grads: Float32Array[] }> {
  const { tokens, end, depth, rows, targets, weights, edges = rows.map((_, e) => e) } = batch;
  const { logprob, grads } = await step(
    ...[tokens, end, depth, rows, targets, edges].map((array) => tensor(array)),
    tensor(Float32Array.from(weights)),
  );
  const logprobs = (await logprob.read()) as Float32Array;
  return { logprobs, grads: (await Promise.all(grads.map((g) => g.read()))) as Float32Array[] };
}

/** Each sample by itself, one behind the other. */
function chains(samples: readonly ForestSample[], weights: readonly Float64Array[]): Batch {
  const starts = samples.map((_, i) => samples.slice(0, i).reduce((n, s) => n + s.ids.length, 0));
  const tokens = Uint32Array.from(samples.flatMap(({ ids }) => [...ids]));
  const trained = samples.flatMap((sample, i) =>
    sample.trained.flatMap(([from, to]) =>
      Array.from({ length: to - from }, (_, n) => (starts[i] as number) + from + n),
    ),
  );
  return {
    ...packSequences(samples.map(({ ids }) => ids.length)),
    tokens,
    rows: Uint32Array.from(trained, (place) => place - 1),
    targets: Uint32Array.from(trained, (place) => tokens[place] as number),
    weights: Float64Array.from(weights.flatMap((own) => [...own])),
  };
}

describe("a transformer over merged samples", () => {
  const random = randoms(4);
  const weights = valuesFor(SAMPLES, () => 2 * random.next() - 1);
  const whole = buildForest(SAMPLES).report.tree.tokens;
  let apart: Awaited<ReturnType<typeof run>>;
  beforeAll(async () => {
    apart = await run(chains(SAMPLES, weights));
  });

  /** Trains on each batch, by edge coefficients or by gathering for each sample, and adds the gradients up. */
  async function merged(options: ForestOptions, isGathered: boolean): Promise<typeof apart> {
    const { batches } = buildForest(SAMPLES, options);
    const logprobs: Float64Array[] = [];
    const sums = apart.grads.map((g) => new Float32Array(g.length));
    for (const batch of batches) {
      const { edges, ...perEdge } = batch;
      const result = await run(
        isGathered
          ? { ...perEdge, edges, weights: tokenValues(batch, weights) }
          : { ...perEdge, weights: edgeCoefficients(batch, weights) },
      );
      gatherEdges(batch, result.logprobs).forEach((own, s) => {
        logprobs[batch.samples[s] as number] = own;
      });
      result.grads.forEach((g, p) => {
        g.forEach((x, i) => {
          (sums[p] as Float32Array)[i] = ((sums[p] as Float32Array)[i] as number) + x;
        });
      });
    }
    return { logprobs: Float32Array.from(logprobs.flatMap((own) => [...own])), grads: sums };
  }

  it.each([
    ["FEATURE 15, 16: in one batch, by edge coefficients", {}, false],
    ["FEATURE 16: in one batch, gathered for each sample", {}, true],
    ["FEATURE 18: within half the tokens", { tokenBudget: Math.ceil(whole / 2) }, false],
    ["FEATURE 18: depth first", { tokenBudget: 40, packing: "depth-first" }, false],
  ] as const)(
    "gives the log-probs and gradients of independent samples. %s",
    async (_, how, is) => {
      const { logprobs, grads } = await merged(how, is);
      expectClose(logprobs, apart.logprobs, TOLERANCES.logProb, "log-probs");
      expect(new Set(logprobs).size).toBeGreaterThan(30);
      parametersOf(model).forEach((p, i) => {
        const expected = apart.grads[i] as Float32Array;
        expectClose(grads[i] as Float32Array, expected, TOLERANCES.parameterGradient, p.name);
        expect(Math.max(...expected)).toBeGreaterThan(0);
      });
    },
  );

  it("computes a fraction of the tokens", () => {
    const { report } = buildForest(SAMPLES);
    expect(report.treeTokenRatio).toBeLessThan(0.4);
    expect(report.scoredTokens).toBeLessThan(report.trainedTokens);
  });
});
