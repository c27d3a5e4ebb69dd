/** Supervised fine-tuning as a method of training. */
import { AdamW, type Device, parametersOf } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import type { OffendingSample } from "../checkpoint/failure.ts";
import type { TrainConfig } from "../config/types.ts";
import { ForestPass } from "../learner/forest-pass.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import type { OpenedPolicy } from "../policy/create-policy.ts";
import { languageOf } from "../policy/language.ts";
import type { Metrics } from "../run/metrics.ts";
import { demonstrationsOf } from "./demonstrations.ts";
import { type SftSample, SftTrainer } from "./sft.ts";
import type { SupervisedLearner, SupervisedStep } from "./supervised-training.ts";
import type { Rows } from "./training-data.ts";

/** A row: the samples of one demonstration or conversation. */
type SftRow = readonly SftSample[];

/** Options of {@link SftLearner}. */
export interface SftLearnerOptions {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly policy: Pick<OpenedPolicy, "model">;
}

/** See the file's head. */
export class SftLearner implements SupervisedLearner<SftRow> {
  readonly optimizer: AdamW;
  readonly #trainer: SftTrainer;
  readonly #pass: ForestPass;

  constructor({ device, config, policy: { model } }: SftLearnerOptions) {
    const { tokenBudget } = config.train;
    this.optimizer = new AdamW(device, parametersOf(model.transformer), optimizerOptions(config));
    this.#trainer = new SftTrainer({ model, optimizer: this.optimizer, tokenBudget });
    this.#pass = new ForestPass({ device, model, tokenBudget });
  }

  async step(rows: readonly SftRow[]): Promise<SupervisedStep> {
    const samples = rows.flat();
    const { loss, tokens, treeTokenRatio, ...outcome } = await this.#trainer.step(samples);
    const metrics: Metrics = {
      "losses/loss": loss,
      "tree/token_ratio": treeTokenRatio,
      "charts/trained_tokens": tokens,
    };
    return { metrics, ...outcome, tokens: samples.reduce((sum, { ids }) => sum + ids.length, 0) };
  }

  async measure(rows: readonly SftRow[]): Promise<Metrics> {
    const { logprobs } = await this.#pass.read(rows.flat());
    let [sum, count] = [0, 0];
    for (const row of logprobs) {
      for (const logprob of row) sum -= logprob;
      count += row.length;
    }
    return { "eval/loss": sum / count };
  }

  sequencesOf(rows: readonly SftRow[]): readonly OffendingSample[] {
    return rows.flat().map(({ ids, trained }) => {
      const at = trained[0]?.[0] ?? 0;
      return { promptIds: ids.subarray(0, at), responseIds: ids.subarray(at), reward: 0 };
    });
  }

  [Symbol.dispose](): void {
    for (const part of [this.#trainer, this.#pass, this.optimizer]) part[Symbol.dispose]();
  }
}

/** An environment's demonstrations as rows, made as they are asked for. */
export function demonstrationRows(
  environment: Environment,
  policy: OpenedPolicy,
  seed: number,
): Rows<SftRow> {
  const language = languageOf(policy, policy.model.maxLength);
  return { count: environment.trainCount, at: demonstrationsOf(environment, language, seed) };
}
