import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  chainForest,
  compile,
  type Device,
  grad,
  namedParameters,
  parametersOf,
  Random,
  type Tensor,
  Transformer,
  type TransformerOptions,
  tensor,
  toForest,
} from "../../../engine/index.ts";
import { chainForest as chains, type Forest, randomForest } from "../../reference/attention.ts";
import { type DecoderShape, decoderLogProbs } from "../../reference/transformer.ts";
import {
  decoderBatch,
  decoderOptions,
  decoderWeights,
  TINY_DECODER,
} from "../../support/decoder.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

/** Llama's choices, with grouped queries. */
const LLAMA = {
  vocab: 40,
  layers: 2,
  width: 24,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  mlpWidth: 36,
  mlp: "swiglu",
  norm: "rms",
  position: "rope",
} as const satisfies DecoderShape;

const GPT2 = {
  ...LLAMA,
  kvHeads: 4,
  headDim: 8,
  mlp: "gelu",
  norm: "layer",
  position: "learned",
} as const satisfies DecoderShape;

const GEMMA = { ...LLAMA, mlp: "geglu", heads: 2, kvHeads: 1, headDim: 12 } as const;

/** A model whose parameters, norms and biases too, are drawn anew: nothing is hidden by a zero or a one. */
async function makeModel(
  options: TransformerOptions,
): Promise<{ model: Transformer; weights: Map<string, Float32Array> }> {
  const random = randoms(5);
  const model = new Transformer(new Random(3), options);
  const weights = new Map<string, Float32Array>();
  for (const [name, state] of namedParameters(model)) {
    const isScale = /norm\.weight/i.test(name);
    const values = random.floats(state.size, isScale ? 0.5 : -0.3, isScale ? 1.5 : 0.3);
    state.write(shared, values);
    weights.set(name, values);
  }
  return { model, weights };
}

function makeBatch(
  forest: Forest,
  vocab: number,
): Forest & { tokens: Uint32Array; labels: Uint32Array } {
  const random = randoms(9);
  const count = forest.end.length;
  const draw = (): Uint32Array => Uint32Array.from(random.integers(count, 0, vocab));
  return { ...forest, tokens: draw(), labels: draw() };
}

describe("Transformer", () => {
  it.each([
    ["rms norm, rope, swiglu, grouped queries, untied head", LLAMA, { isTied: false }],
    [
      "layer norm, learned positions, gelu, biases, tied head",
      GPT2,
      { hasBias: true, maxDepth: 64 },
    ],
    ["geglu and heads as wide as the model", GEMMA, {}],
  ] as const)("gives the log-probs and gradients of the f64 model: %s", async (_, shape, more) => {
    const { model, weights } = await makeModel({ ...shape, ...more });
    const batch = makeBatch(randomForest(30, randoms(2).next), shape.vocab);
    const parameters = parametersOf(model);
    const run = compile((tokens: Tensor, labels: Tensor) => {
      const { logprob } = model.score(tokens, labels, toForest(batch));
      return { logprob, grads: grad(logprob.sum(), parameters) };
    });
    const { logprob, grads } = await run(tensor(batch.tokens), tensor(batch.labels));
    const expected = decoderLogProbs(weights, shape, batch);
    expectClose(await logprob.read(), expected, TOLERANCES.chain, "log-probs");

    // along one random direction: Σ gradient · direction against a central difference in f64
    const random = randoms(21);
    const directions = parameters.map((p) => random.floats(p.size));
    const moved = (by: number): number => {
      const there = new Map<string, ArrayLike<number>>(weights);
      parameters.forEach((p, i) => {
        const direction = directions[i] as Float32Array;
        const value = weights.get(p.name) as Float32Array;
        there.set(
          p.name,
          Float64Array.from(value, (x, j) => x + by * (direction[j] as number)),
        );
      });
      return decoderLogProbs(there, shape, batch).reduce((a, b) => a + b);
    };
    const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
    let product = 0;
    for (const [i, g] of grads.entries()) {
      const values = await g.read();
      values.forEach((x, j) => {
        product += x * (directions[i]?.[j] as number);
      });
    }
    expect(Math.abs(product - slope)).toBeLessThan(1e-4 * Math.abs(slope));
  });

  it("gives the loss of the peers' decoder, in a small form, and trains it", async () => {
    const model = new Transformer(new Random(1), decoderOptions(TINY_DECODER));
    const weights = decoderWeights(TINY_DECODER);
    for (const [name, state] of namedParameters(model)) {
      state.write(shared, weights.get(name) as Float32Array);
    }
    const { vocab, layers, width, heads, sequences, length } = TINY_DECODER;
    const lengths = new Array<number>(sequences).fill(length);
    const { tokens, labels } = decoderBatch(TINY_DECODER);
    const shape = { ...GPT2, vocab, layers, width, heads, kvHeads: heads, headDim: width / heads };
    const logprobs = decoderLogProbs(
      weights,
      { ...shape, mlpWidth: 4 * width },
      { ...chains(lengths), tokens, labels },
    );
    const expected = -logprobs.reduce((a, b) => a + b) / logprobs.length;
    const optimizer = new AdamW(shared, parametersOf(model), { lr: 1e-3 });
    const step = compile((x: Tensor, y: Tensor) => {
      const loss = model.score(x, y, chainForest(lengths)).logprob.mean().neg();
      optimizer.step(grad(loss, optimizer.parameters));
      return loss;
    });
    const losses: number[] = [];
    for (let n = 0; n < 12; n++)
      losses.push(await (await step(tensor(tokens), tensor(labels))).item());
    expectClose([losses[0] as number], [expected], TOLERANCES.chain);
    expect(losses.at(-1)).toBeLessThan(expected - 0.1);
  });

  it("trains the same with each layer recomputed, in less memory", async () => {
    const options = { ...LLAMA, layers: 6 };
    const lengths = [32, 32];
    const batch = makeBatch(chains(lengths), LLAMA.vocab);
    const args = [tensor(batch.tokens), tensor(batch.labels)] as const;
    const results: { values: ArrayLike<number>[]; temporary: number }[] = [];
    for (const isCheckpointed of [false, true]) {
      const { model } = await makeModel({ ...options, isCheckpointed });
      const run = compile((tokens: Tensor, labels: Tensor) => {
        const loss = model.score(tokens, labels, chainForest(lengths)).logprob.mean().neg();
        return [loss, ...grad(loss, parametersOf(model))];
      });
      const values = await Promise.all((await run(...args)).map((t) => t.read()));
      results.push({ values, temporary: (await run.describe(...args)).memory.temporary });
    }
    const [kept, recomputed] = results as [(typeof results)[0], (typeof results)[0]];
    kept.values.forEach((value, i) => {
      expectClose(recomputed.values[i] ?? [], value, TOLERANCES.parameterGradient, `value ${i}`);
    });
    expect(recomputed.temporary).toBeLessThan(0.6 * kept.temporary);
  });

  it("learns one batch by heart", async () => {
    const model = new Transformer(new Random(0), { vocab: 32, layers: 2, width: 32, heads: 4 });
    const lengths = [16, 16];
    const batch = makeBatch(chains(lengths), 32);
    const optimizer = new AdamW(shared, parametersOf(model), { lr: 1e-2, clipNorm: 1 });
    const step = compile((tokens: Tensor, labels: Tensor) => {
      const loss = model.score(tokens, labels, chainForest(lengths)).logprob.mean().neg();
      optimizer.step(grad(loss, optimizer.parameters));
      return loss;
    });
    let loss = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 100; n++) {
      loss = await (await step(tensor(batch.tokens), tensor(batch.labels))).item();
    }
    expect(loss).toBeLessThan(0.01);
  });

  it("starts near the uniform distribution, the same for the same seed", async () => {
    const make = (seed: number): Transformer => new Transformer(new Random(seed), LLAMA);
    const batch = makeBatch(chains([20]), LLAMA.vocab);
    const [a, b, c] = await Promise.all(
      [1, 1, 2].map((seed) =>
        make(seed)
          .score(tensor(batch.tokens), tensor(batch.labels), toForest(batch))
          .logprob.read(),
      ),
    );
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    for (const logprob of a ?? []) expect(Math.abs(logprob + Math.log(40))).toBeLessThan(0.3);
  });

  it("refuses sizes that do not fit together", () => {
    const random = new Random(0);
    const bad: Partial<TransformerOptions>[] = [
      { width: 25 },
      { heads: 4, kvHeads: 3 },
      { layers: 0 },
      { position: "learned" },
    ];
    for (const more of bad) {
      const { headDim: _, ...rest } = LLAMA;
      expect(() => new Transformer(random, { ...rest, ...more })).toThrow(
        expect.objectContaining({ code: "argument_invalid" }),
      );
    }
  });
});
