/** Reinforcement learning as a method of training. */

import {
  AdamW,
  type CausalLM,
  copyModel,
  type Device,
  LoraModel,
  parametersOf,
} from "../../engine/index.ts";
import type { Environment } from "../agent/environment.ts";
import type { Algorithm } from "../rl/algorithm/algorithm.ts";
import type { Trained } from "./checkpoint/capture.ts";
import type { OffendingBatch } from "./checkpoint/failure.ts";
import type { JobSource } from "./cluster/job-source.ts";
import { Player } from "./cluster/player.ts";
import type { TrainConfig } from "./config/types.ts";
import type { EpisodeSampling } from "./episode/episode.ts";
import { episodeTimeoutOf, openRollout, playHeldOut, samplingOf } from "./episode/playing.ts";
import type { Rollout } from "./episode/rollout.ts";
import { rolloutRecords } from "./episode/rollout-records.ts";
import { Learner } from "./learner/learner.ts";
import { optimizerOptions } from "./learner/optimizer-options.ts";
import { stepMetrics } from "./learner/step-metrics.ts";
import { LoneSteps } from "./lone-steps.ts";
import type { OpenedPolicy } from "./policy/create-policy.ts";
import type { Metrics } from "./run/metrics.ts";
import type { Stepper } from "./stepper.ts";
import { demonstrationsOf } from "./supervised/demonstrations.ts";
import { SftTrainer } from "./supervised/sft.ts";
import { type WarmStartStep, warmStart } from "./supervised/warm-start.ts";
import type { OtherPlayers, SharedExchange, SharedSteps, Together } from "./together.ts";
import { Trainer, type TrainerSnapshot } from "./trainer.ts";
import type { Evaluation, OnPhase, Training, TrainingStep } from "./training.ts";

/** Options of {@link RlTraining}. */
export interface RlTrainingOptions {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly policy: OpenedPolicy;
  // biome-ignore lint/suspicious/noExplicitAny: with tasks of any type
  readonly environment: Environment<any>;
  readonly algorithm: Algorithm;
  readonly isDeterministic: boolean;
  /** Together with other nodes. */
  readonly together?: Together;
}

/** What a checkpoint holds of it, beside weights and moments. */
interface RlState {
  readonly trainer: TrainerSnapshot;
  readonly memory: unknown;
}

/** See the file's head. */
export class RlTraining implements Training {
  readonly #options: RlTrainingOptions;
  readonly #rollout: Rollout;
  readonly #sampling: EpisodeSampling;
  #learner: Learner | undefined;
  #exchange: SharedExchange | undefined;
  #isLearning = false;
  #stepper: Stepper | undefined;
  #reference: CausalLM | undefined;

  constructor(options: RlTrainingOptions) {
    this.#options = options;
    this.#rollout = openRollout(options);
    this.#sampling = samplingOf(options.config, this.#rollout);
  }

  get steps(): number {
    return this.#stepper?.steps ?? 0;
  }

  get isLeading(): boolean {
    return this.#options.together?.isLeading ?? true;
  }

  get trained(): Trained {
    const { critic, optimizer, model } = this.#started().learner;
    const reference = this.#warmReference;
    return {
      models: {
        policy: model,
        ...(critic && { critic: critic.trained }),
        ...(reference && { reference }),
      },
      optimizers: { optimizer },
      optional: { outer: this.#exchange?.outer },
    };
  }

  async begin(onPhase: OnPhase, signal: AbortSignal): Promise<void> {
    const { together } = this.#options;
    if (together?.joins) {
      onPhase("waiting", "to be let in");
      return this.#sharedSteps(together).join(signal);
    }
    const steps = this.#options.config.train.warmStart?.steps;
    for await (const { done, loss } of this.warmStart()) {
      onPhase("training", `warm start ${done} of ${steps}, loss ${loss.toFixed(3)}`);
      if (signal.aborted) break;
    }
    await this.#start(undefined);
  }

  /**
   * The warm start that {@link begin} makes, a step at a time: nothing where the configuration asks for none. What comes next
   * is {@link step}.
   */
  async *warmStart(): AsyncGenerator<WarmStartStep, void, undefined> {
    const { device, policy, environment, config } = this.#options;
    const { warmStart: options, tokenBudget } = config.train;
    if (!options) return;
    const { steps, batch, lr, lossTarget } = options;
    const { model } = policy;
    const demonstrations = demonstrationsOf(environment, this.#rollout.language, config.seed);
    using optimizer = new AdamW(device, parametersOf(model.transformer), { lr, clipNorm: 1 });
    using trainer = new SftTrainer({ model, optimizer, tokenBudget });
    const done = warmStart({
      ...{ trainer, environment, demonstrations, steps, batchSize: batch, seed: config.seed },
    });
    for await (const step of done) {
      yield step;
      if (lossTarget !== null && step.loss <= lossTarget) return;
    }
  }

  async step(onPhase: OnPhase): Promise<TrainingStep> {
    const { stepper } = this.#started();
    const { algorithm, config, policy } = this.#options;
    this.#isLearning = false;
    const report = await stepper.step((phase, detail) => {
      this.#isLearning = phase === "training";
      onPhase(phase, detail);
    });
    const started = performance.now();
    const { lagBound: bound } = stepper;
    const metrics: Metrics = {
      ...stepMetrics(report, algorithm),
      // greedy bounds nothing
      ...(bound !== undefined && Number.isFinite(bound) && { "lag/bound": bound }),
    };
    const { rolloutsEvery } = config.run;
    const isKept = rolloutsEvery > 0 && report.step % rolloutsEvery === 0;
    const rollouts = isKept ? rolloutRecords(report, policy.tokenizer) : [];
    const { learned, sampledTokens: tokens } = report;
    const consumed = learned?.sampleTokens ?? 0;
    return {
      ...{ metrics, rollouts, lags: report.lags },
      rollout: { tokens, ms: report.rolloutMs },
      train: { tokens: consumed, ms: report.trainMs },
      data: { tokens: consumed, ms: performance.now() - started + report.dataMs },
      samples: report.episodes.length,
      reward: metrics["reward/mean"],
      ...(report.agentError !== undefined && { agentError: report.agentError }),
    };
  }

  async evaluate(onPhase: OnPhase, signal?: AbortSignal): Promise<Evaluation> {
    const { environment, config, policy } = this.#options;
    await this.#stepper?.present?.();
    const episodes = await playHeldOut({
      ...{ rollout: this.#rollout, config, policy, environment },
      onProgress: (done, total) => onPhase("evaluating", `${done} of ${total} episodes`),
      ...(signal && { signal }),
    });
    return { episodes, metrics: {} };
  }

  async checkpoint(): Promise<RlState> {
    const { stepper } = this.#started();
    const memory = this.#options.algorithm.memory?.read() ?? null;
    return { trainer: await stepper.checkpoint(), memory };
  }

  prepare(): void {
    this.#startLearner();
  }

  async resume(state: unknown): Promise<void> {
    const { trainer, memory } = state as RlState;
    this.#options.algorithm.memory?.write(memory);
    await this.#start(trainer);
  }

  offendingBatch(): OffendingBatch | undefined {
    if (!this.#isLearning) return undefined;
    const { learner } = this.#started();
    const samples = learner.batch.map(({ ids, trained, ...rest }) => {
      const at = trained[0]?.[0] ?? 0;
      const { advantages, rolloutLogprobs, old, trainerLogprobs, reference } = rest;
      return {
        ...{ promptIds: ids.subarray(0, at), responseIds: ids.subarray(at), reward: rest.reward },
        ...{ advantages, rolloutLogprobs, oldLogprobs: old, trainerLogprobs },
        referenceLogprobs: reference,
      };
    });
    return { metrics: {}, samples };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stepper?.close();
    await this.#rollout.close();
    this.#learner?.[Symbol.dispose]();
    this.#reference?.[Symbol.dispose]();
  }

  #started(): { stepper: Stepper; learner: Learner } {
    this.#startLearner();
    this.#stepper ??= new LoneSteps(this.#makeTrainer(undefined));
    return { stepper: this.#stepper, learner: this.#learner as Learner };
  }

  /** From a snapshot, or from the first step on. */
  async #start(snapshot: TrainerSnapshot | undefined): Promise<void> {
    this.#startLearner();
    const { together } = this.#options;
    if (together) return this.#sharedSteps(together).found(snapshot);
    const steps = new LoneSteps(this.#makeTrainer(snapshot));
    this.#stepper = steps;
    if (snapshot) await steps.resume();
  }

  #sharedSteps(together: Together): SharedSteps {
    this.#startLearner();
    const steps = together.steps({
      learner: this.#learner as Learner,
      exchange: this.#exchange as SharedExchange,
      rollout: this.#rollout,
      ...(this.#warmReference && { reference: this.#warmReference }),
      slots: this.#options.config.rollout.slots,
      openTrainer: (snapshot, others) => this.#makeTrainer(snapshot, others),
      openPlayer: (source) => this.#makePlayer(source),
    });
    this.#stepper = steps;
    return steps;
  }

  /** After the warm start: the reference is the policy that RL begins with. */
  #startLearner(): void {
    if (this.#learner) return;
    const { device, config, policy, algorithm } = this.#options;
    const { optimizer, train, rollout, seed } = config;
    const { model } = policy;
    const needsReference = algorithm.kl !== undefined && train.reference !== "none";
    const reference = needsReference ? this.#referenceOf(model) : undefined;
    this.#exchange = this.#options.together?.exchange(config);
    this.#learner = new Learner({
      ...{ device, model, algorithm, seed, tokenBudget: train.tokenBudget },
      optimizer: {
        ...optimizerOptions(config),
        criticLrScale: optimizer.criticLr / optimizer.lr,
      },
      temperature: rollout.temperature,
      ...(reference && { reference }),
      ...(this.#exchange && { exchange: this.#exchange }),
    });
    this.#exchange?.attach(this.#learner.optimizer);
  }

  /** The policy as it is now: what its adapters leave alone, or a copy. */
  #referenceOf(model: CausalLM): CausalLM {
    if (model instanceof LoraModel) return model.base;
    const copy = copyModel(this.#options.device, model);
    this.#reference = copy;
    return copy;
  }

  /** The reference, where it cannot be made of the initial weights again. */
  get #warmReference(): CausalLM | undefined {
    return this.#options.config.train.warmStart ? this.#reference : undefined;
  }

  /** Plays for another node. */
  #makePlayer(source: JobSource): Player<unknown> {
    const { environment, config, isDeterministic } = this.#options;
    const { groupSize, batch, groupDeadlineMs } = config.rollout;
    return new Player({
      ...{ source, environment, groupSize, rollout: this.#rollout },
      ...{ seed: config.seed, sampling: this.#sampling },
      groups: Math.max(1, Math.ceil(batch / groupSize)),
      ...episodeTimeoutOf(this.#rollout, environment, config),
      ...(!isDeterministic && groupDeadlineMs !== null && { groupTimeout: groupDeadlineMs }),
    });
  }

  /** @param others that play, and how many groups are played here at once */
  #makeTrainer(
    snapshot: TrainerSnapshot | undefined,
    others: Partial<OtherPlayers> = {},
  ): Trainer<unknown> {
    const { environment, config, isDeterministic } = this.#options;
    const { rollout, reward, seed } = config;
    return new Trainer(
      {
        ...{ environment, rollout: this.#rollout, seed },
        learner: this.#learner as Learner,
        sampling: this.#sampling,
        reward,
        groupSize: rollout.groupSize,
        scheduler: {
          ...{ slots: rollout.slots, groupsPerStep: rollout.groupsPerStep },
          window: rollout.window,
        },
        poolCapacityTokens: rollout.poolCapacityTokens,
        ...episodeTimeoutOf(this.#rollout, environment, config),
        ...(!isDeterministic &&
          rollout.groupDeadlineMs !== null && { groupTimeout: rollout.groupDeadlineMs }),
        ...others,
      },
      snapshot,
    );
  }
}
