/** Sections `optimizer`, `train`, `eval`, `checkpoint` and `run`. */
import { z } from "zod";
import {
  choice,
  derived,
  flag,
  key,
  notNegative,
  nullable,
  positive,
  section,
  share,
  taking,
  temperature,
  text,
  whole,
} from "./fields.ts";
import type {
  CheckpointSection,
  EvalSection,
  OptimizerSection,
  RunSection,
  TrainSection,
} from "./types.ts";

export const optimizerSection: z.ZodType<OptimizerSection> = section(
  "AdamW and its learning rate. Defaults of moments: MiniMax-M1, since gradients of RL go down to 1e-18.",
  {
    lr: key(
      positive(),
      1e-6,
      "Highest learning rate. Models from random weights want 1e-4 to 1e-3.",
    ),
    criticLr: derived(positive(), "lr", "Highest learning rate of a critic."),
    schedule: key(
      choice(["constant", "linear", "cosine"]),
      "constant",
      "How the rate falls from the warm-up's end to the last step.",
    ),
    warmupSteps: key(whole(0), 0, "Steps over which the rate rises."),
    finalLr: key(notNegative(), 0, "Rate of the last step, but for constant."),
    betas: key(
      taking("two numbers from 0 to below 1", z.tuple([share([0]), share([0])])),
      [0.9, 0.95],
      "Decay of the first and second moment.",
    ),
    eps: key(notNegative(), 1e-15, "Added to the root of the second moment."),
    weightDecay: key(notNegative(), 0, "Decoupled weight decay of matrices and tables."),
    maxGradNorm: key(
      positive().nullable(),
      1,
      "Global norm that gradients are clipped to; null: no clipping.",
    ),
  },
  (read) => ({ ...read, criticLr: read.criticLr ?? read.lr }),
);

const warmStart = z.strictObject({
  steps: key(whole(1), 100, "Supervised steps at most."),
  batch: key(whole(1), 16, "Demonstrations of a step."),
  lr: key(positive(), 1e-3, "Learning rate."),
  lossTarget: nullable(
    positive(),
    "Mean loss of a step, in nats a token, at which it ends early; null: never.",
  ),
});

const dpo = section("Options of the method dpo.", {
  beta: key(positive(), 0.1, "Weight of the log-ratios."),
  labelSmoothing: key(share([0]), 0, "Share of pairs that are taken to be the wrong way round."),
});

export const trainSection: z.ZodType<TrainSection> = section("Optimizer steps.", {
  steps: key(whole(1), 100, "Optimizer steps, for RL: batches of groups."),
  maxMinutes: nullable(
    positive(),
    "Minutes after which the run ends with its step; null: no limit.",
  ),
  tokenBudget: key(
    whole(1),
    16_384,
    "Tokens of a forest that are computed together; a step has as many forests as it needs.",
  ),
  isCheckpointed: key(
    flag(),
    false,
    "Compute each layer again in the backward: less memory, a third more time.",
  ),
  reference: key(
    choice(["auto", "none", "start"]),
    "auto",
    "Policy that KL divergences are measured to: none, or the weights at the start; auto: start where the algorithm needs it.",
  ),
  batch: key(whole(1), 16, "Demonstrations or pairs of a step, for sft and dpo."),
  heldOut: key(
    whole(0),
    0,
    "Lines at the end of `data` that are kept from training, for sft and dpo: eval.every says how often their loss is measured.",
  ),
  dpo,
  warmStart: nullable(
    taking("section", warmStart),
    "Supervised steps on the environment's demonstrations before the first rollout; null: none.",
  ),
});

export const evalSection: z.ZodType<EvalSection> = section("Evaluation on held-out tasks.", {
  every: key(
    whole(0),
    10,
    "Steps between two evaluations, also before the first step and after the last; 0: never.",
  ),
  tasks: nullable(whole(1), "Tasks to play; null: all that are held out."),
  samples: key(whole(1), 1, "Plays of each task: the most that pass@k is given for."),
  temperature: key(
    temperature(),
    0,
    "What logits are divided by; 0 takes the most probable token.",
  ),
  maxTokens: nullable(whole(1), "Tokens of an answer at most; null: as in training."),
});

export const checkpointSection: z.ZodType<CheckpointSection> = section("What a run resumes from.", {
  every: key(whole(0), 10, "Steps between two checkpoints; 0: only at the end."),
  keep: key(whole(1), 2, "Checkpoints that are kept, the latest."),
  best: nullable(
    text("name of a metric"),
    "Metric by whose largest value one more is kept, such as eval/pass_at_1; null: none.",
  ),
});

export const runSection: z.ZodType<RunSection> = section("What a run leaves behind.", {
  directory: key(
    text("path of a directory"),
    "runs",
    "Folder of all runs, from the working directory; a run is `<directory>/<name>/<time>`.",
  ),
  tensorboard: key(
    flag(),
    true,
    "Whether to write TensorBoard's event files beside metrics.jsonl.",
  ),
  rolloutsEvery: key(whole(0), 1, "Every how many steps episodes go to rollouts.jsonl; 0: never."),
});
