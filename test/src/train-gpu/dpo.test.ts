import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  applyLora,
  type CausalLM,
  type Device,
  parametersOf,
  SGD,
} from "../../../engine/index.ts";
import {
  type DpoLossOptions,
  type DpoStep,
  DpoTrainer,
} from "../../../src/train/supervised/dpo.ts";
import { type PreferencePair, samplesOfPairs } from "../../../src/train/supervised/dpo-pairs.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";
import {
  changeOf,
  combined,
  drawnModel,
  parameterValues,
  type SequenceGradient,
  sequenceGradients,
} from "../../support/training.ts";

const VOCAB = 24;
/** Two prompts; responses of unlike lengths, that begin alike, and one that is the other's beginning. */
const PAIRS: readonly PreferencePair[] = [
  { prompt: [1, 2, 3, 4], chosen: [5, 6, 7, 23], rejected: [5, 6, 8, 9, 10, 23] },
  { prompt: [1, 2, 3, 4], chosen: [11, 23], rejected: [5, 6, 7, 23] },
  { prompt: [12, 13], chosen: [14, 15, 16], rejected: [14, 15] },
  { prompt: [12, 13], chosen: [17], rejected: [18, 19, 23] },
];

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const sum = (row: ArrayLike<number>): number => Array.from(row).reduce((total, x) => total + x, 0);

/** The loss of a margin and its slope, as the papers write them. */
function formula(h: number, options: DpoLossOptions): { loss: number; slope: number } {
  const { loss = "sigmoid", beta = 0.1, labelSmoothing: smoothing = 0 } = options;
  if (loss === "ipo") return { loss: (h - 1 / (2 * beta)) ** 2, slope: 2 * (h - 1 / (2 * beta)) };
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  return {
    loss: -(1 - smoothing) * Math.log(sigmoid(beta * h)) - smoothing * Math.log(sigmoid(-beta * h)),
    slope: -beta * (1 - smoothing) * sigmoid(-beta * h) + beta * smoothing * sigmoid(beta * h),
  };
}

/** What a step should report and change, in f64 from sequences by themselves. */
function expected(
  own: readonly SequenceGradient[],
  reference: readonly SequenceGradient[],
  options: DpoLossOptions,
): Omit<DpoStep, "gradNorm" | "isSkipped"> & { delta: Float64Array[] } {
  const { beta = 0.1, isAveraged = false } = options;
  const lengths = own.map(({ logprobs }) => (isAveraged ? logprobs.length : 1));
  const ratios = own.map(
    ({ logprobs }, s) =>
      (sum(logprobs) - sum((reference[s] as SequenceGradient).logprobs)) / (lengths[s] as number),
  );
  const count = own.length / 2;
  const [chosen, rejected] = [0, 1].map((side) => ratios.filter((_, s) => s % 2 === side)) as [
    number[],
    number[],
  ];
  const each = chosen.map((ratio, i) => formula(ratio - (rejected[i] as number), options));
  const slopes = own.map(
    (_, s) =>
      ((s % 2 === 0 ? -1 : 1) * (each[s >> 1]?.slope as number)) / count / (lengths[s] as number),
  );
  return {
    loss: sum(each.map(({ loss }) => loss)) / count,
    chosenReward: (beta * sum(chosen)) / count,
    rejectedReward: (beta * sum(rejected)) / count,
    margin: (beta * (sum(chosen) - sum(rejected))) / count,
    accuracy: chosen.filter((ratio, i) => ratio > (rejected[i] as number)).length / count,
    delta: combined(own, slopes),
  };
}

describe("a step of direct preference optimization", () => {
  let own: SequenceGradient[];
  let reference: CausalLM;
  let theirs: SequenceGradient[];
  beforeAll(async () => {
    reference = await drawnModel(VOCAB, 21);
    own = await sequenceGradients(await drawnModel(VOCAB), samplesOfPairs(PAIRS));
    theirs = await sequenceGradients(reference, samplesOfPairs(PAIRS));
  });

  it.each<[DpoLossOptions, number]>([
    [{}, 4096],
    [{}, 12],
    [{ beta: 0.5, labelSmoothing: 0.2 }, 4096],
    [{ loss: "ipo" }, 12],
    [{ loss: "ipo", beta: 0.3, isAveraged: true }, 4096],
  ])(
    "has the loss, metrics and gradients of the formula: %o in %s tokens",
    async (how, tokenBudget) => {
      const model = await drawnModel(VOCAB);
      const optimizer = new SGD(gpu, parametersOf(model.transformer), { lr: 1 });
      using trainer = new DpoTrainer({ ...how, model, optimizer, reference, tokenBudget });
      const measured = await trainer.measure(PAIRS);
      let step: DpoStep | undefined;
      const change = await changeOf(model, async () => {
        step = await trainer.step(PAIRS);
      });
      const { delta, ...metrics } = expected(own, theirs, how);
      for (const [name, value] of Object.entries(metrics)) {
        const got = [step ?? {}, measured].map((one) => Reflect.get(one, name) as number);
        expectClose(got, [value, value], { abs: 1e-5, rel: 1e-5 }, name);
      }
      expect(metrics.margin).not.toBe(0);
      for (const [p, moved] of change.entries()) {
        // a parameter of order 1 is rounded by 2^-24 when it moves
        const gradient = delta[p] as Float64Array;
        expectClose(moved, gradient, { abs: 1.5e-7, rel: 0, ofLargest: 1e-4 }, `parameter ${p}`);
        expect(Math.max(...gradient)).toBeGreaterThan(1e-5);
      }
      const squares = delta.reduce((total, all) => all.reduce((s, x) => s + x * x, total), 0);
      expect((step as DpoStep).gradNorm / Math.sqrt(squares)).toBeCloseTo(1, 4);
    },
  );
});

describe("the reference", () => {
  it("is the base of a model with adapters: a preference is learned against it", async () => {
    const base = await drawnModel(VOCAB);
    const frozen = await parameterValues(base);
    const model = applyLora(base, { rank: 4 });
    const optimizer = new AdamW(gpu, parametersOf(model.transformer), { lr: 2e-2 });
    using trainer = new DpoTrainer({ model, optimizer });
    const first = await trainer.step(PAIRS);
    // the policy is the reference still
    expect(first.loss).toBeCloseTo(Math.log(2), 6);
    expect(Math.abs(first.margin)).toBeLessThan(1e-5);
    expect(first.gradNorm).toBeGreaterThan(1e-3);
    for (let i = 0; i < 25; i++) await trainer.step(PAIRS);
    const last = await trainer.step(PAIRS);
    expect(last.accuracy).toBe(1);
    expect(last.margin).toBeGreaterThan(0.2);
    expect(last.loss).toBeLessThan(0.62);
    expect(await parameterValues(base)).toEqual(frozen);
    // against what the pairs say, computed by the base apart
    const own = await sequenceGradients(model, samplesOfPairs(PAIRS));
    const theirs = await sequenceGradients(base, samplesOfPairs(PAIRS));
    const after = await trainer.step(PAIRS);
    expectClose([after.margin], [expected(own, theirs, {}).margin], TOLERANCES.logProb);
  });

  it("is the model as it was where pairs keep its log-probs", async () => {
    const [model, same] = [await drawnModel(VOCAB), await drawnModel(VOCAB)];
    const optimizer = new SGD(gpu, parametersOf(model.transformer), { lr: 0.05 });
    using trainer = new DpoTrainer({ model, optimizer });
    const pairs = await trainer.withReference(PAIRS);
    const theirs = await sequenceGradients(same, samplesOfPairs(PAIRS));
    pairs.forEach(({ reference }, i) => {
      const [chosen, rejected] = theirs.slice(2 * i) as [SequenceGradient, SequenceGradient];
      expectClose(reference.chosen, chosen.logprobs, TOLERANCES.logProb);
      expectClose(reference.rejected, rejected.logprobs, TOLERANCES.logProb);
    });
    for (let i = 0; i < 3; i++) await trainer.step(pairs);
    const own = await sequenceGradients(model, samplesOfPairs(PAIRS));
    const { margin, loss } = await trainer.step(pairs);
    const wanted = expected(own, theirs, {});
    expectClose([margin, loss], [wanted.margin, wanted.loss], TOLERANCES.logProb);
    expect(Math.abs(margin)).toBeGreaterThan(1e-3);
  });
});

describe("what cannot be trained on", () => {
  it("is refused before anything changes", async () => {
    const model = await drawnModel(VOCAB);
    const before = await parameterValues(model);
    const optimizer = new AdamW(gpu, parametersOf(model.transformer), { lr: 1 });
    using trainer = new DpoTrainer({ model, optimizer, tokenBudget: 12 });
    const [pair] = PAIRS as [PreferencePair];
    const reference = { chosen: [-1, -1, -1, -1], rejected: [-1, -1, -1, -1, -1, -1] };
    const codes = [
      trainer.step([]),
      trainer.step([pair]),
      trainer.step([{ ...pair, chosen: [], reference }]),
      trainer.step([{ ...pair, chosen: [VOCAB], reference }]),
      trainer.step([{ ...pair, rejected: new Uint32Array(13), reference }]),
      trainer.step([{ ...pair, reference: { ...reference, chosen: [-1] } }]),
    ].map(rejectionOf);
    expect(await Promise.all(codes)).toEqual([
      ...["argument_invalid", "argument_invalid", "argument_invalid"],
      ...["index_out_of_range", "context_exceeded", "shape_mismatch"],
    ]);
    expect(await parameterValues(model)).toEqual(before);
    expect(optimizer.flat.stepCount).toBe(0);
  });

  it.each<DpoLossOptions>([
    { beta: 0 },
    { beta: Number.NaN },
    { labelSmoothing: 0.5 },
    { labelSmoothing: -0.1 },
    { loss: "ipo", labelSmoothing: 0.1 },
  ])("nor with %o", async (options) => {
    const model = await drawnModel(VOCAB);
    const optimizer = new SGD(gpu, parametersOf(model.transformer), { lr: 1 });
    const make = (): DpoTrainer => new DpoTrainer({ ...options, model, optimizer });
    expect(codeOf(make)).toBe("argument_invalid");
  });
});
