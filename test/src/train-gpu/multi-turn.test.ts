import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  applyLora,
  type CausalLM,
  characterTokenizer,
  createModel,
  type Device,
  Tokenizer,
} from "../../../engine/index.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import { buildForest } from "../../../src/pool/forest.ts";
import { forge } from "../../../src/rl/algorithm/forge.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { Learner } from "../../../src/train/learner/learner.ts";
import { stepMetrics } from "../../../src/train/learner/step-metrics.ts";
import { prepareSamples } from "../../../src/train/learner/trained-samples.ts";
import type { Metrics } from "../../../src/train/run/metrics.ts";
import { type StepReport, Trainer } from "../../../src/train/trainer.ts";
import { device } from "../../support/gpu.ts";

const [TURNS, ANSWER] = [6, 4];
const tokenizer = Tokenizer.from({
  tokenizer: characterTokenizer("abcdefgh"),
  config: { eos_token: "<eos>", pad_token: "<pad>" },
});

/** An agent that only appends, and never reads what it was told. */
const environment = defineEnvironment<string>({
  name: "append",
  tasks: { train: ["abcdefgh", "hgfedcba"] },
  play: async ({ task, policy }) => {
    await policy.generate({ prompt: task });
    for (let turn = 1; turn < TURNS; turn++) await policy.generate({ append: "abab" });
  },
  maxTokens: ANSWER,
  isPure: true,
  rewards: {
    letters: ({ replies }) => replies.reduce((n, { text }) => n + text.split("a").length - 1, 0),
  },
});

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** Steps of a run, and what is logged of each. */
async function run(
  model: CausalLM,
  steps: number,
): Promise<{ reports: StepReport[]; logged: Metrics[] }> {
  const algorithm = forge();
  const rollout = new Rollout({
    ...{ device: gpu, model, tokenizer, batch: 8, length: 64, isDeterministic: true },
    stopIds: [], // all answers are of one length
  });
  const optimizer = { lr: 1e-2, betas: [0.9, 0.95], eps: 1e-15 } as const;
  using learner = new Learner({ device: gpu, model, algorithm, optimizer, tokenBudget: 512 });
  const trainer = new Trainer({
    ...{ environment, rollout, learner, groupSize: 4, seed: 1 },
    sampling: { length: 64, temperature: 1 },
    reward: { process: 0.1, speed: 0, truncated: "score" },
    scheduler: { slots: 2, groupsPerStep: 2 },
    poolCapacityTokens: 1e6,
  });
  const reports: StepReport[] = [];
  for (let i = 0; i < steps; i++) reports.push(await trainer.step());
  await trainer.close();
  await rollout.close();
  return { reports, logged: reports.map((report) => stepMetrics(report, algorithm)) };
}

const SIZES = { vocab: 12, layers: 2, width: 32, heads: 4, mlpWidth: 48, maxDepth: 64, seed: 3 };

describe("FEATURE 5: the history of an append-only episode is reused by its tokens", () => {
  let report: StepReport;
  beforeAll(async () => {
    using model = createModel(SIZES);
    const { reports } = await run(model, 1);
    report = reports[0] as StepReport;
  });

  it("the prompt of request k + 1 begins with the prompt and the response of request k", () => {
    expect(report.episodes).toHaveLength(8);
    for (const { completions } of report.episodes) {
      expect(completions).toHaveLength(TURNS);
      completions.slice(1).forEach((completion, k) => {
        const { promptIds = [], responseIds = [] } = completions[k] ?? {};
        expect(responseIds).toHaveLength(ANSWER);
        const before = [...promptIds, ...responseIds];
        expect([...completion.promptIds.slice(0, before.length)]).toEqual(before);
        expect(completion.promptIds.length).toBe(before.length + 4);
        expect(completion.parent).toBe(k);
      });
    }
  });

  it("so that merging saves about (turns + 1) / 2 of each episode, and more of a group", () => {
    for (const episode of report.episodes) {
      const { speedupPerRequest } = buildForest(prepareSamples([episode])).report;
      expect(speedupPerRequest.tokens / ((TURNS + 1) / 2)).toBeGreaterThan(0.9);
      expect(speedupPerRequest.tokens / ((TURNS + 1) / 2)).toBeLessThan(1.1);
    }
    const { learned } = report;
    expect(learned?.forests[0]?.speedupPerRequest.tokens).toBeGreaterThan((TURNS + 1) / 2);
  });
});

describe("FEATURE 24: sampler and trainer say the same of the same tokens, logged every step", () => {
  const models: CausalLM[] = [];
  afterAll(() => {
    for (const model of models) model[Symbol.dispose]();
  });

  it.each(["f32", "f16", "bf16"] as const)("with weights held in %s", async (weightDtype) => {
    const base = createModel({ ...SIZES, ...(weightDtype !== "f32" && { weightDtype }) });
    const isHeld = weightDtype !== "f32";
    const policy = isHeld ? applyLora(base, { rank: 4, alpha: 8 }) : base;
    models.push(base);
    expect(base.options.weightDtype ?? "f32").toBe(weightDtype);
    const { reports, logged } = await run(policy, 4);
    expect(logged).toHaveLength(4);
    for (const metrics of logged) {
      expect(metrics["mismatch/pearson"]).toBeGreaterThanOrEqual(0.997);
      expect(metrics["mismatch/max_abs"]).toBeLessThanOrEqual(1e-4);
      expect(metrics["mismatch/max_abs"]).toBeGreaterThanOrEqual(0);
    }
    // each step moved the weights, so those that sample are those that were trained
    for (const { learned } of reports) expect(learned?.updates[0]?.gradNorm).toBeGreaterThan(1e-4);
  });
});
