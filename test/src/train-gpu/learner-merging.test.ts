import { beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  copyModel,
  createModel,
  type Device,
  namedParameters,
  parametersOf,
} from "../../../engine/index.ts";
import type { Algorithm } from "../../../src/rl/algorithm/algorithm.ts";
import { ALGORITHMS } from "../../../src/rl/algorithm/index.ts";
import type { RecordedEpisode } from "../../../src/train/episode/episodes.ts";
import { ForestPass } from "../../../src/train/learner/forest-pass.ts";
import { Learner, type LearnerReport, type Update } from "../../../src/train/learner/learner.ts";
import {
  prepareSamples,
  sequencesOf,
  type TrainedSample,
} from "../../../src/train/learner/trained-samples.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { eventfulPlays, recorded } from "../../support/recorded-episodes.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const VOCAB = 40;
const PLAYS = eventfulPlays(VOCAB);
/** The bar of losses: 1e-6, of a loss of order 1. */
const LOSS = { abs: 1e-6, rel: 1e-6 };
/** One update from the samples of the whole step, so that its gradient is that of the step. */
const ONCE = { epochs: 1, minibatches: 1 } as const;

let gpu: Device;
let model: CausalLM;
let reference: CausalLM;
let episodes: RecordedEpisode[];

beforeAll(async () => {
  gpu = await device();
  model = createModel({ vocab: VOCAB, layers: 2, width: 32, heads: 4, kvHeads: 2, mlpWidth: 48 });
  const random = randoms(13);
  const scatter = (of: CausalLM): void => {
    for (const [name, state] of namedParameters(of.transformer))
      if (!/norm/i.test(name)) state.write(gpu, random.floats(state.size, -0.3, 0.3));
  };
  scatter(model);
  reference = copyModel(gpu, model);
  scatter(reference);
  // sampled by a policy that was a little different: ratios on both sides of every clip
  const blank = recorded(PLAYS, (p, t) => PLAYS[p]?.turns[t]?.response ?? []);
  const everyone = blank.map((episode) => ({ ...episode, takesPart: true }));
  using pass = new ForestPass({ device: gpu, model, tokenBudget: 512 });
  const samples = prepareSamples(everyone);
  const { logprobs } = await pass.read(samples);
  episodes = recorded(PLAYS, (p, t) => {
    const at = samples.findIndex(({ episode, request }) => episode === p && request === t);
    return (logprobs[at] as Float64Array).map((x) => Math.min(0, x + 1.2 * (random.next() - 0.5)));
  });
});

/** What a step does, the weights left as they are. */
interface Learned {
  readonly report: LearnerReport;
  /** Of each parameter, by its name. */
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

async function learned(
  algorithm: Algorithm,
  options: { readonly tokenBudget: number; readonly isMerged: boolean },
): Promise<Learned> {
  using learner = new Learner({
    ...options,
    ...{ device: gpu, model, algorithm, ...(algorithm.kl && { reference }) },
    // without memory, the first moment is the gradient
    optimizer: { lr: 0, betas: [0, 0.95] },
  });
  const random = randoms(5);
  for (const state of parametersOf(learner.critic?.head ?? {}))
    state.write(gpu, random.floats(state.size, -0.3, 0.3));
  const report = await learner.step(episodes);
  const { moments } = await learner.optimizer.save();
  return { report, gradients: moments["m"] as Learned["gradients"] };
}

/** What stands in no other case: a bonus on entropy, losses of one's own, divergences, corrections, masks. */
const VARIANTS: Readonly<Record<string, Algorithm>> = {
  "ppo with a critic of its own, and the trainer's log-probs": ALGORITHMS.ppo({
    ...ONCE,
    critic: { coefficient: 0.5, clip: 0.2, model: "separate" },
    old: "trainer",
    importance: { kind: "token-tis", cap: 1.2 },
  }),
  "grpo with a divergence in its loss and a bonus on entropy": ALGORITHMS.grpo({
    ...ONCE,
    kl: { in: "loss", kind: "k3", coefficient: 0.2 },
    entropyCoefficient: 0.05,
  }),
  "forge with a divergence in its reward, but for what was cut off": ALGORITHMS.forge({
    ...ONCE,
    kl: { in: "reward", kind: "k1", coefficient: 0.2 },
    overlong: "mask",
  }),
  "a loss of one's own": ALGORITHMS.grpo({
    ...ONCE,
    loss: ({ logprobs, old, advantage, weight }) =>
      logprobs.sub(old).exp().mul(advantage).add(logprobs.mul(logprobs)).mul(weight).sum(),
    isClipped: () => false,
  }),
};

const CASES: readonly (readonly [string, Algorithm])[] = [
  ...Object.entries(ALGORITHMS).map(([name, make]) => [name, make(ONCE)] as const),
  ...Object.entries(VARIANTS),
];

describe("FEATURE 16, 18: merged samples, split or whole, have the loss and gradient of samples by themselves", () => {
  it.each(CASES)("%s", async (_, algorithm) => {
    const apart = await learned(algorithm, { tokenBudget: 512, isMerged: false });
    const whole = apart.report.forests[0]?.perRequest.tokens as number;
    const merged = await learned(algorithm, { tokenBudget: 512, isMerged: true });
    const tokens = merged.report.forestTokens;
    expect(tokens).toBeLessThan(0.7 * whole);
    const split: Learned[] = [];
    for (const parts of [2, 4]) {
      const tokenBudget = Math.max(36, Math.ceil(tokens / parts));
      split.push(await learned(algorithm, { tokenBudget, isMerged: true }));
    }
    // what a split repeats shows that there was one
    expect(split[1]?.report.forestTokens).toBeGreaterThan(tokens);
    const [expected] = apart.report.updates as [Update];
    for (const { report, gradients } of [merged, ...split]) {
      const [update] = report.updates as [Update];
      for (const key of ["loss", "policyLoss", "kl", "valueLoss", "gradNorm"] as const)
        expectClose([update[key]], [expected[key]], LOSS, key);
      for (const [name, own] of Object.entries(apart.gradients))
        expectClose(gradients[name] ?? [], own, TOLERANCES.parameterGradient, name);
    }
    expect(expected.gradNorm).toBeGreaterThan(1e-3);
    expect(Object.keys(apart.gradients).length).toBeGreaterThan(13);
  });
});

describe("a loss with one ratio for a sequence", () => {
  it.each(["episode", "request"] as const)("takes each %s for one", async (per) => {
    const bounds = { clipLow: 0.1, clipHigh: 0.1 };
    const importance = { kind: "sequence-tis", cap: 1.1 } as const;
    const algorithm = ALGORITHMS.gspo({ ...ONCE, ...bounds, per });
    const { report } = await learned(algorithm, { tokenBudget: 60, isMerged: true });
    const sequences = sequencesOf(report.samples, per);
    expect(sequences.length).toBe(per === "episode" ? 7 : report.samples.length);
    const terms = sequences.map((own) => {
      const row = (of: (sample: TrainedSample) => ArrayLike<number>): number[] =>
        own.flatMap((sample) => Array.from(of(sample)));
      const [now, old] = [row((s) => s.trainerLogprobs), row((s) => s.old)];
      const mean = now.reduce((sum, x, t) => sum + x - (old[t] as number), 0) / now.length;
      const [ratio, advantage] = [Math.exp(mean), row((s) => s.advantages)[0] as number];
      return Math.min(ratio * advantage, Math.min(1.1, Math.max(0.9, ratio)) * advantage);
    });
    const expected = -terms.reduce((sum, term) => sum + term, 0) / terms.length;
    expectClose([report.updates[0]?.policyLoss as number], [expected], LOSS);
    // and so does a correction
    const corrected = ALGORITHMS.gspo({ ...ONCE, per, old: "trainer", importance });
    const { report: other } = await learned(corrected, { tokenBudget: 60, isMerged: true });
    for (const own of sequencesOf(other.samples, per))
      expect(new Set(own.flatMap((sample) => Array.from(sample.importance))).size).toBe(1);
  });

  it("is refused for an episode that is longer than the budget, and no other loss is", async () => {
    const tight = { tokenBudget: 30, isMerged: true };
    const run = (algorithm: Algorithm): Promise<Learned> => learned(algorithm, tight);
    expect(await rejectionOf(run(ALGORITHMS.gspo({ ...ONCE, per: "episode" })))).toBe(
      "context_exceeded",
    );
    await run(ALGORITHMS.gspo({ ...ONCE, per: "request" }));
    await run(ALGORITHMS.grpo(ONCE));
  });
});
