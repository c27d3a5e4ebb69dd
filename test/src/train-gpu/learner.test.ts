import { beforeAll, describe, expect, it } from "vitest";
import {
  type CausalLM,
  createModel,
  type Device,
  namedParameters,
  parametersOf,
} from "../../../engine/index.ts";
import type { Algorithm } from "../../../src/rl/algorithm/algorithm.ts";
import { ALGORITHMS } from "../../../src/rl/algorithm/index.ts";
import { explainedVariance } from "../../../src/rl/metrics.ts";
import type { RecordedEpisode } from "../../../src/train/episode/episodes.ts";
import { Learner, type LearnerOptions } from "../../../src/train/learner/learner.ts";
import type { TrainedSample } from "../../../src/train/learner/trained-samples.ts";
import { rejectionOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";
import { eventfulPlays, recorded } from "../../support/recorded-episodes.ts";

const VOCAB = 40;
const PLAYS = eventfulPlays(VOCAB);
const EPISODES = recorded(PLAYS, (p, t) =>
  Float32Array.from(PLAYS[p]?.turns[t]?.response ?? [], () => -Math.log(VOCAB)),
);

let gpu: Device;
let model: CausalLM;
let initial: Float32Array[];
beforeAll(async () => {
  gpu = await device();
  model = createModel({ vocab: VOCAB, layers: 1, width: 16, heads: 2, mlpWidth: 24 });
  const random = randoms(3);
  initial = parametersOf(model.transformer).map((p) => random.floats(p.size, -0.3, 0.3));
});

/** A learner of the model with its initial weights. */
function learnerOf(algorithm: Algorithm, more: Partial<LearnerOptions> = {}): Learner {
  parametersOf(model.transformer).forEach((p, i) => {
    p.write(gpu, initial[i] as Float32Array);
  });
  const optimizer = { lr: 1e-3, betas: [0.9, 0.95], eps: 1e-15 } as const;
  return new Learner({ device: gpu, model, algorithm, optimizer, tokenBudget: 60, ...more });
}

async function weights(): Promise<Float32Array[]> {
  return Promise.all(
    parametersOf(model.transformer).map(async (p) => (await p.read()) as Float32Array),
  );
}

/** The episodes with the second request of the first one changed. */
function spoilt(more: Partial<RecordedEpisode["steps"][number]>): RecordedEpisode[] {
  return EPISODES.map((episode, e) =>
    e > 0
      ? episode
      : {
          ...episode,
          steps: episode.steps.map((step, t) => (t === 1 ? { ...step, ...more } : step)),
          completions: episode.completions.map((completion, t) => {
            const { rolloutLogprobs: row } = more;
            return t === 1 && row
              ? { ...completion, behaviorLogprobs: Float32Array.from(row) }
              : completion;
          }),
        },
  );
}

describe("what is not a number changes no weight, and the learner goes on", () => {
  const broken = new Float64Array(EPISODES[0]?.steps[1]?.tokens as number).fill(-1);
  broken[1] = Number.NaN;

  it.each([
    ["a reward", { reward: Number.NaN }],
    ["a log-prob at sampling", { rolloutLogprobs: broken }],
  ])("%s", async (_, more) => {
    using learner = learnerOf(ALGORITHMS.forge());
    expect(await rejectionOf(learner.step(spoilt(more)))).toBe("non_finite");
    expect(await weights()).toEqual(initial);
    expect(learner.steps).toBe(0);
    expect(learner.batch.length).toBe(15); // to be looked at
    await learner.step(EPISODES);
    const after = await weights();
    using fresh = learnerOf(ALGORITHMS.forge());
    await fresh.step(EPISODES);
    expect(after).toEqual(await weights());
    expect(after).not.toEqual(initial);
  });

  it.each([
    ["a loss", "loss"],
    ["a gradient, of a loss that is one", "gradient"],
  ])("%s", async (_, where) => {
    const bad: Algorithm["loss"] = ({ logprobs, weight }) => {
      const root = logprobs.mul(0).sqrt(); // 0, with a slope of 0 · ∞
      const value = where === "loss" ? root.div(root) : root;
      return value.mul(weight).sum();
    };
    using learner = learnerOf(ALGORITHMS.grpo({ loss: bad, isClipped: () => false }));
    expect(await rejectionOf(learner.step(EPISODES))).toBe("non_finite");
    expect(await weights()).toEqual(initial);
    expect(await rejectionOf(learner.step(EPISODES))).toBe("non_finite");
    expect(await weights()).toEqual(initial);
  });

  it("a weight that was broken before", async () => {
    using learner = learnerOf(ALGORITHMS.forge());
    const [table] = namedParameters(model.transformer).values();
    table?.write(gpu, new Float32Array(table.size).fill(Number.NaN));
    expect(await rejectionOf(learner.step(EPISODES))).toBe("non_finite");
    table?.write(gpu, initial[0] as Float32Array);
    expect(await weights()).toEqual(initial);
    await learner.step(EPISODES);
    const after = await weights();
    using fresh = learnerOf(ALGORITHMS.forge());
    await fresh.step(EPISODES);
    expect(after).toEqual(await weights());
  });
});

describe("a step", () => {
  it("has as many updates as passes and minibatches, of whole episodes", async () => {
    using learner = learnerOf(ALGORITHMS.grpo({ epochs: 2, minibatches: 3 }));
    const { updates, samples, first, forests } = await learner.step(EPISODES);
    expect([updates.length, forests.length]).toEqual([6, 3]);
    expect(samples.length).toBe(15);
    const episodes = new Set(first.map(({ episode }) => episode));
    const whole = samples.filter(({ episode }) => episodes.has(episode));
    expect(first.map(({ ids }) => ids)).toEqual(whole.map(({ ids }) => ids));
    expect(learner.optimizer.flat.stepCount).toBe(6);
    for (const { trainerLogprobs, entropies } of samples) {
      expect(Math.max(...trainerLogprobs)).toBeLessThan(0);
      expect(Math.min(...entropies)).toBeGreaterThan(0);
    }
  });

  it("knows what the policy said before it, and at the last pass", async () => {
    const optimizer = { lr: 1e-2 };
    using once = learnerOf(ALGORITHMS.grpo(), { optimizer });
    const { samples: first } = await once.step(EPISODES);
    using twice = learnerOf(ALGORITHMS.grpo({ epochs: 2 }), { optimizer });
    const { samples: second } = await twice.step(EPISODES);
    second.forEach(({ trainerLogprobs, updatedLogprobs }, s) => {
      expect(first[s]?.updatedLogprobs).toEqual(first[s]?.trainerLogprobs);
      expect(trainerLogprobs).toEqual(first[s]?.trainerLogprobs);
      expect(updatedLogprobs).not.toEqual(trainerLogprobs);
    });
  });

  it.each(["head", "separate"] as const)(
    "teaches a critic (%s) every token's return",
    async (kind) => {
      const critic = { coefficient: 1, model: kind };
      // what is left of a reward tells tokens of an answer apart
      const ppo = ALGORITHMS.ppo({ critic, lambda: 1, gamma: 0.8, epochs: 10 });
      using learner = learnerOf(ppo, { optimizer: { lr: 1e-2 } });
      // those without a double that is paid otherwise
      const told = [2, 4, 6].map((e) => EPISODES[e] as RecordedEpisode);
      for (let step = 0; step < 10; step++) await learner.step(told);
      const row = (of: (sample: TrainedSample) => ArrayLike<number> | undefined): number[] =>
        learner.batch.flatMap((sample) => Array.from(of(sample) ?? []));
      const [values, returns] = [row(({ values }) => values), row(({ returns }) => returns)];
      expect(values.length).toBe(returns.length);
      expect(explainedVariance(values, returns)).toBeGreaterThan(0.9);
    },
  );

  it("saves what it has of a critic of its own under names of its own", async () => {
    const critic = { coefficient: 0.5, model: "separate" } as const;
    using learner = learnerOf(ALGORITHMS.ppo({ critic, epochs: 1 }));
    await learner.step(EPISODES);
    const { moments } = await learner.optimizer.save();
    const names = Object.keys(moments["m"] ?? {});
    expect(names).toContain("critic.head.weight");
    expect(names).toContain("critic.trunk.embedding.weight");
    expect(names).toContain("embedding.weight");
    expect(names.length).toBe(2 * initial.length + 2);
  });

  it("has something to learn from", async () => {
    using learner = learnerOf(ALGORITHMS.forge());
    const idle = EPISODES.map((episode) => ({ ...episode, takesPart: false }));
    expect(await rejectionOf(learner.step(idle))).toBe("argument_invalid");
    using tight = learnerOf(ALGORITHMS.forge(), { tokenBudget: 20 });
    expect(await rejectionOf(tight.step(EPISODES))).toBe("context_exceeded");
    expect(await weights()).toEqual(initial);
  });

  it("needs a reference for a divergence", () => {
    const kl = { in: "loss", kind: "k3", coefficient: 0.1 } as const;
    expect(() => learnerOf(ALGORITHMS.grpo({ kl }))).toThrow("needs a reference");
  });
});
