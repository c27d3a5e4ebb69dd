/** Direct preference optimization as a method of training. */
import {
  AdamW,
  type CausalLM,
  copyModel,
  type Device,
  LoraModel,
  parametersOf,
} from "../../../engine/index.ts";
import type { OffendingSample } from "../checkpoint/failure.ts";
import type { TrainConfig } from "../config/types.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import type { OpenedPolicy } from "../policy/create-policy.ts";
import type { Metrics } from "../run/metrics.ts";
import { type DpoMeasurement, DpoTrainer } from "./dpo.ts";
import type { PreferencePair } from "./dpo-pairs.ts";
import type { SupervisedLearner, SupervisedStep } from "./supervised-training.ts";

/** Options of {@link DpoLearner}. */
export interface DpoLearnerOptions {
  readonly device: Device;
  readonly config: TrainConfig;
  /** As it starts: that is the reference, its base where it has adapters, else a copy. */
  readonly policy: Pick<OpenedPolicy, "model">;
}

/** See the file's head. */
export class DpoLearner implements SupervisedLearner<PreferencePair> {
  readonly optimizer: AdamW;
  readonly #trainer: DpoTrainer;
  readonly #copy: CausalLM | undefined;

  constructor({ device, config, policy: { model } }: DpoLearnerOptions) {
    const { tokenBudget, dpo } = config.train;
    this.#copy = model instanceof LoraModel ? undefined : copyModel(device, model);
    this.optimizer = new AdamW(device, parametersOf(model.transformer), optimizerOptions(config));
    this.#trainer = new DpoTrainer({
      ...{ model, optimizer: this.optimizer, tokenBudget, ...dpo },
      ...(this.#copy && { reference: this.#copy }),
    });
  }

  async step(pairs: readonly PreferencePair[]): Promise<SupervisedStep> {
    const { gradNorm, isSkipped, ...measured } = await this.#trainer.step(pairs);
    const { loss, chosenReward, rejectedReward, margin, accuracy }: DpoMeasurement = measured;
    const metrics: Metrics = {
      "losses/loss": loss,
      "dpo/chosen_reward": chosenReward,
      "dpo/rejected_reward": rejectedReward,
      "dpo/margin": margin,
      "dpo/accuracy": accuracy,
    };
    const tokens = pairs.reduce(
      (sum, { prompt, chosen, rejected }) =>
        sum + 2 * prompt.length + chosen.length + rejected.length,
      0,
    );
    return { metrics, gradNorm, isSkipped, tokens };
  }

  async measure(pairs: readonly PreferencePair[]): Promise<Metrics> {
    const { loss, margin, accuracy } = await this.#trainer.measure(pairs);
    return { "eval/loss": loss, "eval/margin": margin, "eval/accuracy": accuracy };
  }

  sequencesOf(pairs: readonly PreferencePair[]): readonly OffendingSample[] {
    return pairs.flatMap(({ prompt, chosen, rejected }) => [
      { promptIds: prompt, responseIds: chosen, reward: 1 },
      { promptIds: prompt, responseIds: rejected, reward: 0 },
    ]);
  }

  [Symbol.dispose](): void {
    for (const part of [this.#trainer, this.optimizer, this.#copy]) part?.[Symbol.dispose]();
  }
}
