import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  applyLora,
  type CausalLM,
  createModel,
  type Device,
  parametersOf,
  SGD,
  Tokenizer,
} from "../../../engine/index.ts";
import { byteTokenizer } from "../../../engine/models/byte-tokenizer.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import { ForestPass } from "../../../src/train/learner/forest-pass.ts";
import { languageOf } from "../../../src/train/policy/language.ts";
import { demonstrationsOf } from "../../../src/train/supervised/demonstrations.ts";
import { type SftSample, SftTrainer } from "../../../src/train/supervised/sft.ts";
import { sampleOfDemonstration } from "../../../src/train/supervised/sft-samples.ts";
import { warmStart } from "../../../src/train/supervised/warm-start.ts";
import { eventfulEpisodes } from "../../support/episodes.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";
import {
  changeOf,
  combined,
  drawnModel,
  parameterValues,
  sequenceGradients,
  smallModel,
} from "../../support/training.ts";

const SHAPE = { seed: 8, vocab: 48, prompt: 9, turns: 3, action: 4, observation: 5, group: 3 };
const SAMPLES: readonly SftSample[] = eventfulEpisodes(SHAPE).map((sample, i) => ({
  ...sample,
  weight: i % 3,
}));

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

interface Outcome {
  readonly loss: number;
  readonly tokens: number;
  readonly gradNorm: number;
  /** Of each parameter: minus the gradient. */
  readonly delta: readonly Float64Array[];
}

/** One step that moves each parameter by minus its gradient. */
async function change(
  model: CausalLM,
  samples: readonly SftSample[],
  tokenBudget = 4096,
): Promise<Outcome> {
  const optimizer = new SGD(gpu, parametersOf(model.transformer), { lr: 1 });
  using trainer = new SftTrainer({ model, optimizer, tokenBudget });
  let [loss, tokens, gradNorm] = [0, 0, 0];
  const delta = await changeOf(model, async () => {
    ({ loss, tokens, gradNorm } = await trainer.step(samples));
  });
  return { loss, tokens, gradNorm, delta };
}

/** The same from each sample by itself, added up in f64. */
async function apart(model: CausalLM, samples: readonly SftSample[]): Promise<Outcome> {
  const sequences = await sequenceGradients(model, samples);
  const weights = samples.map(({ weight = 1 }) => weight);
  let [loss, tokens, total] = [0, 0, 0];
  sequences.forEach(({ logprobs }, s) => {
    const weight = weights[s] as number;
    tokens += logprobs.length;
    total += weight * logprobs.length;
    loss -= weight * logprobs.reduce((sum, x) => sum + x, 0);
  });
  const delta = combined(
    sequences,
    weights.map((weight) => weight / total),
  );
  const squares = delta.reduce((sum, all) => all.reduce((s, x) => s + x * x, sum), 0);
  return { loss: loss / total, tokens, gradNorm: Math.sqrt(squares), delta };
}

describe("a step of supervised fine-tuning", () => {
  it("has the loss and gradients of unpacked sequences, however it is split", async () => {
    const expected = await apart(await drawnModel(SHAPE.vocab), SAMPLES);
    for (const tokenBudget of [undefined, 60, 40]) {
      const { loss, tokens, gradNorm, delta } = await change(
        await drawnModel(SHAPE.vocab),
        SAMPLES,
        tokenBudget,
      );
      expect(tokens).toBe(expected.tokens);
      expect(Math.abs(loss - expected.loss)).toBeLessThan(1e-5);
      expect(Math.abs(gradNorm / expected.gradNorm - 1)).toBeLessThan(1e-5);
      for (const [p, own] of delta.entries()) {
        const gradient = expected.delta[p] as Float64Array;
        // a parameter of order 1 is rounded by 2^-25 when it moves
        expectClose(own, gradient, { abs: 1.5e-7, rel: 0, ofLargest: 1e-4 }, `parameter ${p}`);
        expect(Math.max(...gradient)).toBeGreaterThan(1e-4);
      }
    }
  });

  it("has the loss ln(vocab) and no gradient where all tokens are alike for good", async () => {
    // all weights are zeros: no parameter but the norms' could change a logit, and they stand behind zeros
    const model = smallModel({ vocab: 48, isTied: false, init: () => 0 });
    const { loss, gradNorm } = await change(model, SAMPLES);
    expect(loss).toBeCloseTo(Math.log(48), 6);
    expect(gradNorm).toBe(0);
  });

  it("leaves what is not trained out: other labels change nothing", async () => {
    const ids = Uint32Array.from([5, 9, 2, 31, 7, 7, 40, 3]);
    const trained: SftSample = { ids, trained: [[3, 5]] };
    const plain = await change(await drawnModel(SHAPE.vocab), [trained]);
    // what stands behind the last trained token is seen by none of them and is no label
    const [behind, unweighed] = [ids.slice(), Uint32Array.from([1, 30, 29, 11])];
    behind.set([11, 12, 13], 5);
    const other = await change(await drawnModel(SHAPE.vocab), [
      { ids: behind, trained: [[3, 5]] },
      { ids: unweighed, trained: [[1, 4]], weight: 0 },
    ]);
    expect(other.tokens).toBe(plain.tokens + 3);
    expect(Math.abs(other.loss - plain.loss)).toBeLessThan(1e-6);
    for (const [p, own] of other.delta.entries()) {
      const expected = plain.delta[p] as Float64Array;
      expectClose(own, expected, { abs: 1.5e-7, rel: 0, ofLargest: 1e-4 }, `parameter ${p}`);
    }
    // and a trained label does count
    const changed = await change(await drawnModel(SHAPE.vocab), [
      { ids: behind, trained: [[3, 6]] },
    ]);
    expect(Math.abs(changed.loss - plain.loss)).toBeGreaterThan(1e-2);
  });

  it("trains adapters on weights that are held in bf16, and nothing else", async () => {
    const lora = (base: CausalLM): CausalLM => applyLora(base, { rank: 4 });
    const base = smallModel({ vocab: 48, weightDtype: "bf16" });
    const frozen = await parameterValues(base);
    const samples = SAMPLES.slice(0, 5);
    const expected = await apart(lora(base), samples);
    const { loss, delta } = await change(lora(base), samples, 40);
    expect(Math.abs(loss - expected.loss)).toBeLessThan(1e-5);
    for (const [p, own] of delta.entries()) {
      expectClose(own, expected.delta[p] as Float64Array, TOLERANCES.parameterGradient);
    }
    expect(Math.max(...delta.map((own) => Math.max(...own)))).toBeGreaterThan(1e-4);
    expect(await parameterValues(base)).toEqual(frozen);
  });
});

describe("what cannot be trained on", () => {
  it.each<[string, SftSample[], string]>([
    ["nothing trained", [{ ids: Uint32Array.of(1, 2), trained: [] }], "argument_invalid"],
    [
      "no weight",
      [{ ids: Uint32Array.of(1, 2), trained: [[1, 2]], weight: 0 }],
      "argument_invalid",
    ],
    [
      "a negative weight",
      [{ ids: Uint32Array.of(1, 2), trained: [[1, 2]], weight: -1 }],
      "argument_invalid",
    ],
    ["the first token", [{ ids: Uint32Array.of(1, 2), trained: [[0, 1]] }], "argument_invalid"],
    [
      "an id beyond the vocabulary",
      [{ ids: Uint32Array.of(1, 48), trained: [[1, 2]] }],
      "index_out_of_range",
    ],
    ["too long", [{ ids: new Uint32Array(65), trained: [[1, 2]] }], "context_exceeded"],
  ])("is refused before anything changes: %s", async (_, samples, code) => {
    const model = await drawnModel(SHAPE.vocab);
    const before = await parameterValues(model);
    const optimizer = new AdamW(gpu, parametersOf(model.transformer), { lr: 1 });
    using trainer = new SftTrainer({ model, optimizer, tokenBudget: 64 });
    expect(await rejectionOf(trainer.step(samples))).toBe(code);
    expect(await parameterValues(model)).toEqual(before);
    expect(optimizer.flat.stepCount).toBe(0);
  });
});

describe("a warm start", () => {
  const tokenizer = Tokenizer.from({ tokenizer: byteTokenizer({ specialTokens: ["<|end|>"] }) });
  const END = 256;
  const letters = [..."abcdefghijkl"];
  const environment = defineEnvironment<string>({
    name: "upper case",
    tasks: { train: letters },
    prompt: (letter) => `${letter}:`,
    demonstration: (letter) => ({ prompt: `${letter}:`, response: letter.toUpperCase() }),
    rewards: { right: ({ task, text }) => Number(text === task.toUpperCase()) },
  });
  const toSample = (demonstration: { prompt: string; response: string }): SftSample =>
    sampleOfDemonstration(tokenizer, demonstration, END);
  const language = languageOf({ tokenizer, stopIds: [END] }, 64);
  const demonstrations = demonstrationsOf(environment, language);
  const options = { environment, demonstrations, batchSize: 5, seed: 3 };

  function learner(): { model: CausalLM; optimizer: AdamW; trainer: SftTrainer } {
    const model = createModel({ vocab: 257, layers: 1, width: 32, heads: 2, mlpWidth: 64 });
    const optimizer = new AdamW(gpu, parametersOf(model.transformer), { lr: 1e-2, clipNorm: 1 });
    return { model, optimizer, trainer: new SftTrainer({ model, optimizer }) };
  }

  it("teaches a mapping", async () => {
    const { model, trainer } = learner();
    const losses: number[] = [];
    for await (const { loss } of warmStart({ ...options, trainer, steps: 80 })) losses.push(loss);
    expect(losses).toHaveLength(80);
    expect(losses[0]).toBeGreaterThan(5);
    using pass = new ForestPass({ device: gpu, model, tokenBudget: 64 });
    const { logprobs } = await pass.read(
      letters.map((letter) => toSample({ prompt: `${letter}:`, response: letter.toUpperCase() })),
    );
    for (const own of logprobs) expect(Math.min(...own)).toBeGreaterThan(Math.log(0.8));
    trainer[Symbol.dispose]();
  });

  it("goes on from a saved step, bit for bit", async () => {
    const whole = learner();
    const losses: number[] = [];
    for await (const step of warmStart({ ...options, trainer: whole.trainer, steps: 7 }))
      losses.push(step.loss);

    const first = learner();
    let from = 0;
    for await (const { done } of warmStart({ ...options, trainer: first.trainer, steps: 7 })) {
      from = done;
      if (done === 3) break;
    }
    const [weights, state] = [await parameterValues(first.model), await first.optimizer.save()];

    const second = learner();
    parametersOf(second.model.transformer).forEach((p, i) => {
      p.write(gpu, weights[i] as Float32Array);
    });
    second.optimizer.restore(state);
    const rest: number[] = [];
    for await (const step of warmStart({ ...options, trainer: second.trainer, steps: 7, from }))
      rest.push(step.loss);
    expect(rest).toEqual(losses.slice(3));
    expect(await parameterValues(second.model)).toEqual(await parameterValues(whole.model));
    for (const { trainer } of [whole, first, second]) trainer[Symbol.dispose]();
  });

  it("takes each task once a pass, in another order each time", async () => {
    const { trainer } = learner();
    const asked: string[] = [];
    const watched = {
      ...environment,
      demonstration: (letter: string) => {
        asked.push(letter);
        return { prompt: letter, response: letter };
      },
    };
    for await (const _ of warmStart({
      ...{ ...options, demonstrations: demonstrationsOf(watched, language) },
      ...{ batchSize: 12, trainer, steps: 2 },
    }));
    const [one, two] = [asked.slice(0, 12), asked.slice(12)];
    expect([...one].sort()).toEqual(letters);
    expect([...two].sort()).toEqual(letters);
    expect(one).not.toEqual(two);
    trainer[Symbol.dispose]();
  });

  it("is refused without demonstrations", async () => {
    const { trainer } = learner();
    const bare = { ...environment, demonstration: undefined };
    expect(codeOf(() => demonstrationsOf(bare, language))).toBe("argument_invalid");
    const none = warmStart({ ...options, batchSize: 0, trainer, steps: 1 });
    expect(await rejectionOf(none.next())).toBe("argument_invalid");
    trainer[Symbol.dispose]();
  });
});
