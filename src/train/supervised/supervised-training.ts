/** Learning from examples as a method of training: the same for demonstrations and for preferences. */
import { type CausalLM, type Device, ForgeError, type Optimizer } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import type { Trained } from "../checkpoint/capture.ts";
import type { OffendingBatch, OffendingSample } from "../checkpoint/failure.ts";
import type { TrainConfig } from "../config/types.ts";
import { openRollout, playHeldOut } from "../episode/playing.ts";
import type { Rollout } from "../episode/rollout.ts";
import { optimizerOptions } from "../learner/optimizer-options.ts";
import type { OpenedPolicy } from "../policy/create-policy.ts";
import type { Metrics } from "../run/metrics.ts";
import { TaskOrder } from "../seeds.ts";
import type { Evaluation, OnPhase, Training, TrainingStep } from "../training.ts";
import type { Rows } from "./training-data.ts";

/** What a step of a {@link SupervisedLearner} did. */
export interface SupervisedStep {
  readonly metrics: Metrics;
  readonly gradNorm: number;
  /** Whether the norm was not finite, so that nothing was changed. */
  readonly isSkipped: boolean;
  /** Tokens of the sequences. */
  readonly tokens: number;
}

/** What learns from rows. */
export interface SupervisedLearner<Row> extends Disposable {
  readonly optimizer: Optimizer;
  step(rows: readonly Row[]): Promise<SupervisedStep>;
  /** The loss of rows that are not trained on, and what else there is to say of them; under `eval/`. */
  measure(rows: readonly Row[]): Promise<Metrics>;
  /** Rows as sequences, for people to look at. */
  sequencesOf(rows: readonly Row[]): readonly OffendingSample[];
}

/** Options of {@link SupervisedTraining}. */
export interface SupervisedOptions<Row> {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly policy: OpenedPolicy;
  /** Whose held-out tasks are played. */
  readonly environment?: Environment;
  readonly rows: Rows<Row>;
  /** Rows that are kept from training. */
  readonly heldOut: readonly Row[];
  /** Called once, with the model as it starts. */
  readonly learner: () => SupervisedLearner<Row>;
}

/** What a checkpoint holds of it, beside weights and moments: which rows a step takes follows from its number. */
interface SupervisedState {
  readonly format: 1;
  readonly steps: number;
}

/** See the file's head. Each pass over the rows has an order of its own, by the run's seed. */
export class SupervisedTraining<Row> implements Training {
  readonly #options: SupervisedOptions<Row>;
  readonly #order: TaskOrder;
  #learner: SupervisedLearner<Row> | undefined;
  #rollout: Rollout | undefined;
  #batch: readonly Row[] = [];
  #steps = 0;

  constructor(options: SupervisedOptions<Row>) {
    this.#options = options;
    this.#order = new TaskOrder(options.rows.count, options.config.seed);
  }

  get steps(): number {
    return this.#steps;
  }

  get trained(): Trained {
    const policy: CausalLM = this.#options.policy.model;
    return { models: { policy }, optimizers: { optimizer: this.#started().optimizer } };
  }

  prepare(): void {
    this.#started();
  }

  async begin(): Promise<void> {
    this.#started();
  }

  async step(onPhase: OnPhase): Promise<TrainingStep> {
    const { config, rows } = this.#options;
    const { batch } = config.train;
    onPhase("training");
    const started = performance.now();
    this.#batch = await Promise.all(
      Array.from({ length: batch }, (_, i) => rows.at(this.#order.taskOf(this.#steps * batch + i))),
    );
    const learning = performance.now();
    const done = await this.#started().step(this.#batch);
    const { gradNorm, isSkipped, tokens } = done;
    if (isSkipped) throw notFinite(gradNorm);
    const metrics: Metrics = {
      ...done.metrics,
      "losses/grad_norm": gradNorm,
      "charts/learning_rate": optimizerOptions(config).lr(this.#steps),
    };
    this.#steps++;
    return {
      ...{ metrics, rollouts: [], lags: [], samples: batch, reward: undefined },
      rollout: { tokens: 0, ms: 0 },
      train: { tokens, ms: performance.now() - learning },
      data: { tokens, ms: learning - started },
    };
  }

  async evaluate(onPhase: OnPhase, signal?: AbortSignal): Promise<Evaluation> {
    const { config, environment, heldOut } = this.#options;
    onPhase("evaluating");
    const metrics = heldOut.length > 0 ? await this.#started().measure(heldOut) : {};
    if (!environment || environment.eval.length === 0) return { episodes: [], metrics };
    this.#rollout ??= openRollout({ ...this.#options, isDeterministic: environment.isPure });
    this.#rollout.sampler.policyVersion = this.#steps;
    const episodes = await playHeldOut({
      ...{ rollout: this.#rollout, config, environment },
      onProgress: (done, total) => onPhase("evaluating", `${done} of ${total} episodes`),
      ...(signal && { signal }),
    });
    return { episodes, metrics };
  }

  async checkpoint(): Promise<SupervisedState> {
    return { format: 1, steps: this.#steps };
  }

  async resume(state: unknown): Promise<void> {
    const { format, steps } = state as SupervisedState;
    if (format !== 1) throw unknownFormat(format);
    this.#steps = steps;
  }

  offendingBatch(): OffendingBatch {
    return { metrics: {}, samples: this.#started().sequencesOf(this.#batch) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rollout?.close();
    this.#learner?.[Symbol.dispose]();
  }

  #started(): SupervisedLearner<Row> {
    this.#learner ??= this.#options.learner();
    return this.#learner;
  }
}

function notFinite(gradNorm: number): ForgeError {
  return new ForgeError({
    code: "non_finite",
    what: "the update is not finite; the weights are as they were before it.",
    got: `gradient norm ${gradNorm}`,
    why: "one such update would make every weight NaN",
    fix: "lower the learning rate, or look at the saved batch",
  });
}

function unknownFormat(format: unknown): ForgeError {
  return new ForgeError({
    code: "checkpoint_invalid",
    what: "the checkpoint is of no supervised training that is known.",
    got: String(format),
    fix: "resume with the method, and the version of forge-gpu, that wrote it",
  });
}
