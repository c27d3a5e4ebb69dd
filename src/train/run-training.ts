/** Steps, evaluations and checkpoints of a run, one after the other, until it ends. */
import { ForgeError } from "../../engine/index.ts";
import { captureTrained } from "./checkpoint/capture.ts";
import { saveOffendingBatch } from "./checkpoint/failure.ts";
import {
  type BestCheckpoint,
  forgetBest,
  pruneCheckpoints,
  recordBest,
} from "./checkpoint/keep.ts";
import { listSteps } from "./checkpoint/place.ts";
import { writeCheckpoint } from "./checkpoint/write.ts";
import type { TrainConfig } from "./config/types.ts";
import { type EvaluationReport, evaluationMetrics, evaluationReport } from "./evaluation/report.ts";
import type { Metrics, StepMetrics } from "./run/metrics.ts";
import type { RunDirectory } from "./run/run-directory.ts";
import type { TrainView } from "./run/train-view.ts";
import { WARNING_STEPS, warningsOf } from "./run/warnings.ts";
import { type StepYield, workMetrics, yieldMetrics } from "./run/yield.ts";
import type { Training, TrainingStep } from "./training.ts";

/** Options of {@link runTraining}. */
export interface RunTrainingOptions {
  readonly training: Training;
  readonly config: TrainConfig;
  readonly run: RunDirectory;
  readonly view: TrainView;
  /** Aborted: the step under way is finished and saved, and the run ends. */
  readonly signal: AbortSignal;
  readonly environment: string;
  /** What checkpoints say they were written with. */
  readonly writtenWith: Readonly<Record<string, string>>;
}

/** How a run ended. */
export interface TrainingSummary {
  readonly steps: number;
  /** `done`: all steps; `interrupted`: by its signal; `time`: after `maxMinutes`. */
  readonly ended: "done" | "interrupted" | "time";
  readonly before: EvaluationReport | undefined;
  readonly after: EvaluationReport | undefined;
  /** Of the last step. */
  readonly metrics: Metrics;
  /** Of the last one that was written. */
  readonly checkpoint: string | undefined;
}

/** What a checkpoint holds beside the training's own state. */
export interface RunState {
  readonly format: 1;
  readonly training: object;
  readonly samples: number;
  readonly tokens: number;
  readonly yields: readonly StepYield[];
  readonly before: EvaluationReport | null;
  /** Of its step, where that was evaluated. */
  readonly after: EvaluationReport | null;
  /** The best checkpoint up to this one. */
  readonly best: BestCheckpoint | null;
}

/** Steps that the yield looks back on. */
const YIELD_STEPS = 50;

/** See the file's head. */
export class TrainingRun {
  readonly #options: RunTrainingOptions;
  readonly #history: StepMetrics[] = [];
  readonly #started = performance.now();
  #samples = 0;
  #tokens = 0;
  #yields: StepYield[] = [];
  #before: EvaluationReport | undefined;
  #after: EvaluationReport | undefined;
  #best: BestCheckpoint | undefined;
  #agentError: string | undefined;
  #metrics: Metrics = {};
  #checkpoint: string | undefined;
  /** Step of the last checkpoint that this process has written. */
  #saved: number | undefined;
  #ioMs = 0;

  constructor(options: RunTrainingOptions) {
    this.#options = options;
    this.#history.push(...options.run.readMetrics().slice(-WARNING_STEPS));
    this.#metrics = this.#history.at(-1)?.metrics ?? {};
  }

  /** Goes on from what a checkpoint holds; `path` is its own. Errors: `checkpoint_invalid`, `run_directory_unwritable`. */
  async resume(state: unknown, path: string): Promise<void> {
    const { format, training, samples, tokens, yields, before, after, best } = state as RunState;
    if (format !== 1) {
      throw new ForgeError({
        code: "checkpoint_invalid",
        what: "the checkpoint is of no known format.",
        got: String(format),
        fix: "resume with the version of forge-gpu that wrote it",
      });
    }
    [this.#samples, this.#tokens, this.#yields] = [samples, tokens, [...yields]];
    [this.#before, this.#after] = [before ?? undefined, after ?? undefined];
    this.#checkpoint = path;
    await this.#options.training.resume(training);
    await this.#takeOverBest(best);
  }

  /**
   * All steps that are left.
   *
   * Errors    `non_finite`, with the place where the batch was saved; `disk_full`, `run_directory_unwritable`; those of the
   *           training.
   */
  async go(): Promise<TrainingSummary> {
    const { training, config, signal, view } = this.#options;
    if (training.steps === 0) await this.#begin();
    let ended: TrainingSummary["ended"] = "done";
    while (training.steps < config.train.steps) {
      if (signal.aborted) ended = "interrupted";
      else if (this.#isLate()) ended = "time";
      if (ended !== "done") break;
      await this.#step();
    }
    if (ended !== "done" && this.#saved !== training.steps && training.steps > 0)
      await this.#save(training.steps);
    view.phase("saving", "summary");
    return {
      ...{ steps: training.steps, ended, metrics: this.#metrics },
      ...{ before: this.#before, after: this.#after, checkpoint: this.#checkpoint },
    };
  }

  async #begin(): Promise<void> {
    const { training, config, view, signal, run } = this.#options;
    await training.begin((phase, detail) => view.phase(phase, detail), signal);
    if (config.eval.every === 0 || signal.aborted || training.isLeading === false) return;
    // nothing is lost with it yet
    const evaluated = await this.#evaluate(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    this.#before = evaluated?.report;
    const { metrics = {} } = evaluated ?? {};
    if (Object.keys(metrics).length === 0) return;
    await run.writeMetrics(0, metrics);
    view.step(0, metrics);
  }

  async #step(): Promise<void> {
    const { training, config, run } = this.#options;
    const started = performance.now();
    const step = await this.#trainingStep();
    const number = training.steps;
    const isLast = number === config.train.steps;
    const { every } = config.eval;
    const isDue = every > 0 && (isLast || number % every === 0);
    const isEvaluated = isDue && training.isLeading !== false;
    const evaluated = isEvaluated ? await this.#evaluate() : undefined;
    this.#after = evaluated?.report;
    const metrics = {
      ...this.#metricsOf(step, performance.now() - started),
      ...evaluated?.metrics,
    };
    const writing = performance.now();
    await run.writeMetrics(number, metrics);
    const { rolloutsEvery } = config.run;
    if (rolloutsEvery > 0 && number % rolloutsEvery === 0) run.writeRollouts(number, step.rollouts);
    this.#metrics = metrics;
    const best = this.#best;
    const isBest = this.#noteBest(number, metrics);
    if (isLast || isBest || this.#isCheckpointDue(number))
      if (!(await this.#trySave(number, isLast))) this.#best = best;
    this.#ioMs = performance.now() - writing;
    this.#tell(number, step);
  }

  async #trainingStep(): Promise<TrainingStep> {
    const { training, run, view } = this.#options;
    try {
      return await training.step((phase, detail) => view.phase(phase, detail));
    } catch (error) {
      if (!(error instanceof ForgeError) || error.code !== "non_finite") throw error;
      const batch = training.offendingBatch();
      if (!batch) throw error;
      const path = await saveOffendingBatch(run.path, training.steps + 1, batch);
      throw new ForgeError({
        code: "non_finite",
        what: `step ${training.steps + 1} is not finite; the run has stopped before it.`,
        got: error.message,
        fix: `look at ${path}: its tokens, rewards and log-probs; lower optimizer.lr; then go on with --resume ${run.path}`,
        cause: error,
      });
    }
  }

  async #evaluate(
    signal?: AbortSignal,
  ): Promise<{ report: EvaluationReport | undefined; metrics: Metrics }> {
    const { training, config, view, environment } = this.#options;
    const { episodes, metrics } = await training.evaluate(
      (phase, detail) => view.phase(phase, detail),
      signal,
    );
    if (episodes.length === 0) return { report: undefined, metrics };
    const report = evaluationReport(episodes, {
      ...{ environment, policyVersion: training.steps },
      ...{ seed: config.seed, temperature: config.eval.temperature },
    });
    return { report, metrics: { ...metrics, ...evaluationMetrics(report) } };
  }

  #metricsOf(step: TrainingStep, ms: number): Metrics {
    this.#samples += step.samples;
    this.#tokens += step.train.tokens;
    const { rollout, train, data, lags, samples } = step;
    this.#yields.push({
      parts: { rollout, train, data, io: { tokens: rollout.tokens, ms: this.#ioMs } },
      ...{ ms, samples, lags },
      reward: step.reward ?? 0,
      gradNorm: step.metrics["losses/grad_norm"] ?? 0,
    });
    this.#yields = this.#yields.slice(-YIELD_STEPS);
    return {
      ...step.metrics,
      ...(this.#options.config.method === "rl"
        ? yieldMetrics(this.#yields)
        : workMetrics(this.#yields.at(-1) as StepYield)),
      "charts/samples": this.#samples,
      "charts/tokens": this.#tokens,
    };
  }

  /**
   * A checkpoint that cannot be written is said, and the run goes on with the one before; the last one must be. Whether it
   * is there.
   */
  async #trySave(step: number, isLast: boolean): Promise<boolean> {
    const { view, run, config } = this.#options;
    try {
      await this.#save(step);
      if (this.#best?.step === step) recordBest(run.checkpoints, this.#best);
      await pruneCheckpoints(run.checkpoints, { keep: config.checkpoint.keep });
      return true;
    } catch (error) {
      const isDisk =
        error instanceof ForgeError &&
        (error.code === "disk_full" || error.code === "run_directory_unwritable");
      if (isLast || !isDisk) throw error;
      view.warn(`the checkpoint of step ${step} could not be written: ${error.message}`);
      return this.#saved === step;
    }
  }

  async #save(step: number): Promise<void> {
    const { training, run, view, writtenWith } = this.#options;
    view.phase("saving", `checkpoint ${step}`);
    const state: RunState = {
      format: 1,
      training: await training.checkpoint(),
      ...{ samples: this.#samples, tokens: this.#tokens, yields: this.#yields },
      ...{ before: this.#before ?? null, after: this.#after ?? null, best: this.#best ?? null },
    };
    await run.flush();
    const tensors = await captureTrained(training.trained);
    const contents = { tensors, state, writtenWith };
    this.#checkpoint = await writeCheckpoint(run.checkpoints, step, contents);
    this.#saved = step;
  }

  #isCheckpointDue(step: number): boolean {
    const { every } = this.#options.config.checkpoint;
    return every > 0 && step % every === 0;
  }

  /** Whether a step is the best so far. What it is goes into its checkpoint, so that no kill comes between the two. */
  #noteBest(step: number, metrics: Metrics): boolean {
    const { best } = this.#options.config.checkpoint;
    const score = best === null ? undefined : metrics[best];
    if (score === undefined || !Number.isFinite(score)) return false;
    if (this.#best && score <= this.#best.score) return false;
    this.#best = { step, score };
    return true;
  }

  /** The best as of a checkpoint, unless a better one, which is gone again, was kept in its place. */
  async #takeOverBest(best: BestCheckpoint | null): Promise<void> {
    const { checkpoints } = this.#options.run;
    const isThere = best !== null && (await listSteps(checkpoints)).includes(best.step);
    this.#best = isThere ? best : undefined;
    if (this.#best) recordBest(checkpoints, this.#best);
    else await forgetBest(checkpoints);
  }

  #isLate(): boolean {
    const { maxMinutes } = this.#options.config.train;
    return maxMinutes !== null && performance.now() - this.#started > 60_000 * maxMinutes;
  }

  #tell(step: number, { agentError }: TrainingStep): void {
    const { view } = this.#options;
    const metrics = this.#metrics;
    this.#history.push({ step, wallTime: Date.now() / 1000, metrics });
    if (this.#history.length > WARNING_STEPS) this.#history.shift();
    for (const { text } of warningsOf(this.#history)) view.warn(text);
    if (agentError !== undefined && agentError !== this.#agentError)
      view.warn(`an agent has failed, and its episode is not trained on: ${agentError}`);
    this.#agentError = agentError ?? this.#agentError;
    view.step(step, metrics);
  }
}
