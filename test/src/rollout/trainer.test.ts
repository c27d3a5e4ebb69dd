import { expect, it } from "vitest";
import { characterTokenizer, createModel, Tokenizer } from "../../../engine/index.ts";
import { defineEnvironment } from "../../../src/agent/define-environment.ts";
import { grpo } from "../../../src/rl/algorithm/grpo.ts";
import { Rollout } from "../../../src/train/episode/rollout.ts";
import { Learner } from "../../../src/train/learner/learner.ts";
import { stepMetrics } from "../../../src/train/learner/step-metrics.ts";
import { Trainer } from "../../../src/train/trainer.ts";
import { device, expectClose } from "../../support/gpu.ts";

const LETTERS = "abcdefgh";
const END = "<eos>";

const environment = defineEnvironment<string>({
  name: "echo",
  tasks: { train: [...LETTERS] },
  prompt: (letter) => `${letter}>`,
  maxTokens: 4,
  rewards: { echoes: ({ task, text }) => [...text].filter((x) => x === task).length / 4 },
});

/** Loss, norm of the gradient, entropy and reward of each step, as Node has them on Mesa's llvmpipe. */
const STEPS = [
  [0, 0.896023, 2.278424, 0.078125],
  [0, 1.156498, 2.255508, 0.09375],
  [0, 1.157711, 2.236069, 0.109375],
];

// the same file runs in Node and in a browser, on drivers of two makers
it("trains a policy on rewards, with the same figures wherever it runs", async () => {
  const gpu = await device();
  const json = characterTokenizer(`${LETTERS}>`, { specialTokens: [END] });
  const tokenizer = Tokenizer.from({ tokenizer: json, config: { eos_token: END } });
  const sizes = { layers: 1, width: 32, heads: 2, mlpWidth: 32, maxDepth: 8 };
  using model = createModel({ ...sizes, vocab: tokenizer.vocabSize, seed: 3 });
  const algorithm = grpo();
  const rollout = new Rollout({ device: gpu, model, tokenizer, isDeterministic: true, batch: 16 });
  using learner = new Learner({
    ...{ device: gpu, model, algorithm, tokenBudget: 256 },
    optimizer: { lr: 1e-2, clipNorm: 1 },
  });
  const trainer = new Trainer({
    ...{ environment, rollout, learner, groupSize: 8, seed: 5 },
    sampling: { length: 8 },
    reward: { process: 0, speed: 0, truncated: "score" },
    scheduler: { slots: 2, groupsPerStep: 2, window: "strict" },
    poolCapacityTokens: 1e4,
  });
  try {
    for (const expected of STEPS) {
      const metrics = stepMetrics(await trainer.step(), algorithm);
      const names = ["losses/loss", "losses/grad_norm", "losses/entropy", "reward/mean"];
      const got = names.map((name) => metrics[name] as number);
      expectClose(got, expected, { abs: 1e-4, rel: 1e-4 }, `step ${trainer.steps}`);
    }
    expect(trainer.steps).toBe(3);
  } finally {
    await trainer.close();
    await rollout.close();
  }
});
