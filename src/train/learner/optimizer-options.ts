/** AdamW and its learning rate, as a configuration says. */
import { constant, cosine, linear, type Schedule } from "../../../engine/index.ts";
import { algorithmOf } from "../config/algorithm-section.ts";
import type { TrainConfig } from "../config/types.ts";

/** What `AdamW` takes of a configuration. */
export interface OptimizerOptions {
  readonly lr: Schedule;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  /** Left out: no clipping. */
  readonly clipNorm?: number;
}

/** Section `optimizer`, for a run of the whole configuration. */
export function optimizerOptions(config: TrainConfig): OptimizerOptions {
  const { betas, eps, weightDecay, maxGradNorm } = config.optimizer;
  return {
    ...{ lr: scheduleOf(config), betas, eps, weightDecay },
    ...(maxGradNorm !== null && { clipNorm: maxGradNorm }),
  };
}

/** The learning rate of each update: that of the training step that it is part of. */
export function scheduleOf({ optimizer, train, method, algorithm }: TrainConfig): Schedule {
  const { lr, schedule, warmupSteps, finalLr } = optimizer;
  if (schedule === "constant" && warmupSteps === 0) return constant(lr);
  const options = { lr, warmupSteps, totalSteps: train.steps, finalLr };
  const rates = {
    constant: () => linear({ ...options, finalLr: lr }),
    linear: () => linear(options),
    cosine: () => cosine(options),
  };
  const rate = rates[schedule]();
  if (method !== "rl") return rate;
  const { epochs, minibatches } = algorithmOf(algorithm);
  return (update) => rate(Math.floor(update / (epochs * minibatches)));
}
