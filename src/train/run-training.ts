/** Steps, evaluations and checkpoints of a run, one after the other, until it ends. */
import { ForgeError } from "../../engine/index.ts";
import { captureTrained } from "./checkpoint/capture.ts";
import { saveOffendingBatch } from "./checkpoint/failure.ts";
import { pruneCheckpoints, readBest, recordBest } from "./checkpoint/keep.ts";
import { writeCheckpoint } from "./checkpoint/write.ts";
import type { TrainConfig } from "./config/types.ts";
import { type EvaluationReport, evaluationMetrics, evaluationReport } from "./evaluation/report.ts";
import type { Metrics, StepMetrics } from "./run/metrics.ts";
import type { RunDirectory } from "./run/run-directory.ts";
import type { TrainView } from "./run/train-view.ts";
import { WARNING_STEPS, warningsOf } from "./run/warnings.ts";
import { type StepYield, yieldMetrics } from "./run/yield.ts";
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
  /** The evaluation before the first step, of a run that goes on. */
  readonly before?: EvaluationReport;
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
  #metrics: Metrics = {};
  #checkpoint: string | undefined;
  #ioMs = 0;

  constructor(options: RunTrainingOptions) {
    this.#options = options;
    this.#history.push(...options.run.readMetrics().slice(-WARNING_STEPS));
    this.#metrics = this.#history.at(-1)?.metrics ?? {};
  }

  /** Goes on from what a checkpoint holds. Errors: `checkpoint_invalid`. */
  async resume(state: unknown): Promise<void> {
    const { format, training, samples, tokens, yields, before } = state as RunState;
    if (format !== 1) {
      throw new ForgeError({
        code: "checkpoint_invalid",
        what: "the checkpoint is of no known format.",
        got: String(format),
        fix: "resume with the version of forge-gpu that wrote it",
      });
    }
    [this.#samples, this.#tokens, this.#yields] = [samples, tokens, [...yields]];
    this.#before = before ?? undefined;
    await this.#options.training.resume(training);
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
    const isSaved = this.#checkpoint !== undefined && this.#isCheckpointDue(training.steps);
    if (ended !== "done" && !isSaved && training.steps > 0) await this.#save(training.steps);
    view.phase("saving", "summary");
    return {
      ...{ steps: training.steps, ended, metrics: this.#metrics },
      ...{ before: this.#before, after: this.#after, checkpoint: this.#checkpoint },
    };
  }

  async #begin(): Promise<void> {
    const { training, config, view, signal, run } = this.#options;
    await training.begin((phase, detail) => view.phase(phase, detail), signal);
    if (config.eval.every === 0 || signal.aborted) return;
    const { report, metrics } = await this.#evaluate();
    this.#before = report;
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
    const isEvaluated = every > 0 && (isLast || number % every === 0);
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
    const isBest = await this.#isBest(metrics);
    if (isLast || isBest || this.#isCheckpointDue(number))
      await this.#trySave(number, isLast, isBest);
    this.#ioMs = performance.now() - writing;
    this.#tell(number, metrics);
  }

  async #trainingStep(): Promise<TrainingStep> {
    const { training, run, view } = this.#options;
    try {
      return await training.step((phase, detail) => view.phase(phase, detail));
    } catch (error) {
      if (!(error instanceof ForgeError) || error.code !== "non_finite") throw error;
      const path = await saveOffendingBatch(
        run.path,
        training.steps + 1,
        training.offendingBatch(),
      );
      throw new ForgeError({
        code: "non_finite",
        what: `step ${training.steps + 1} is not finite; the run has stopped before it.`,
        got: error.message,
        fix: `look at ${path}: its tokens, rewards and log-probs; lower optimizer.lr; then resume`,
        cause: error,
      });
    }
  }

  async #evaluate(): Promise<{ report: EvaluationReport | undefined; metrics: Metrics }> {
    const { training, config, view, environment } = this.#options;
    const { episodes, metrics } = await training.evaluate((phase, detail) =>
      view.phase(phase, detail),
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
      ...yieldMetrics(this.#yields),
      "charts/samples": this.#samples,
      "charts/tokens": this.#tokens,
    };
  }

  /** A checkpoint that cannot be written is said, and the run goes on with the one before; the last one must be. */
  async #trySave(step: number, isLast: boolean, isBest: boolean): Promise<void> {
    const { view, run, config } = this.#options;
    try {
      await this.#save(step);
      const { best } = config.checkpoint;
      const score = best === null ? undefined : this.#scoreOf(best);
      if (isBest && score !== undefined) recordBest(run.checkpoints, { step, score });
      await pruneCheckpoints(run.checkpoints, { keep: config.checkpoint.keep });
    } catch (error) {
      const isDisk =
        error instanceof ForgeError &&
        (error.code === "disk_full" || error.code === "run_directory_unwritable");
      if (isLast || !isDisk) throw error;
      view.warn(`the checkpoint of step ${step} could not be written: ${error.message}`);
    }
  }

  async #save(step: number): Promise<void> {
    const { training, run, view, writtenWith } = this.#options;
    view.phase("saving", `checkpoint ${step}`);
    const state: RunState = {
      format: 1,
      training: await training.checkpoint(),
      ...{ samples: this.#samples, tokens: this.#tokens, yields: this.#yields },
      before: this.#before ?? null,
    };
    await run.flush();
    const tensors = await captureTrained(training.trained);
    this.#checkpoint = await writeCheckpoint(run.checkpoints, step, {
      tensors,
      state,
      writtenWith,
    });
  }

  #isCheckpointDue(step: number): boolean {
    const { every } = this.#options.config.checkpoint;
    return every > 0 && step % every === 0;
  }

  async #isBest(metrics: Metrics): Promise<boolean> {
    const { best } = this.#options.config.checkpoint;
    const score = best === null ? undefined : metrics[best];
    if (score === undefined || !Number.isFinite(score)) return false;
    this.#metrics = metrics;
    const known = await readBest(this.#options.run.checkpoints);
    return known === undefined || score > known.score;
  }

  #scoreOf(name: string): number | undefined {
    return this.#metrics[name];
  }

  #isLate(): boolean {
    const { maxMinutes } = this.#options.config.train;
    return maxMinutes !== null && performance.now() - this.#started > 60_000 * maxMinutes;
  }

  #tell(step: number, metrics: Metrics): void {
    const { view } = this.#options;
    this.#metrics = metrics;
    this.#history.push({ step, wallTime: Date.now() / 1000, metrics });
    if (this.#history.length > WARNING_STEPS) this.#history.shift();
    for (const { text } of warningsOf(this.#history)) view.warn(text);
    view.step(step, metrics);
  }
}
