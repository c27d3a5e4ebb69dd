/** A method of training, as a run sees it: something that makes steps, and can be kept and brought back. */
import type { Trained } from "./checkpoint/capture.ts";
import type { OffendingBatch } from "./checkpoint/failure.ts";
import type { EvaluatedEpisode } from "./evaluation/report.ts";
import type { Metrics } from "./run/metrics.ts";
import type { Phase } from "./run/train-view.ts";
import type { PartWork } from "./run/yield.ts";

/** What a step gives. */
export interface TrainingStep {
  readonly metrics: Metrics;
  /** For rollouts.jsonl. */
  readonly rollouts: readonly object[];
  readonly rollout: PartWork;
  readonly train: PartWork;
  readonly data: PartWork;
  /** Samples consumed, and their mean reward; `undefined` where there is none. */
  readonly samples: number;
  readonly reward: number | undefined;
  /** What an agent of the step's time has failed with, in one line. */
  readonly agentError?: string;
  readonly lags: readonly number[];
}

/** What an evaluation finds. */
export interface Evaluation {
  /** Plays of held-out tasks; none where there are no such tasks. */
  readonly episodes: readonly EvaluatedEpisode[];
  /** What else was measured, under `eval/`. */
  readonly metrics: Metrics;
}

/** Called as something goes on: the phase, and how far it is. */
export type OnPhase = (phase: Phase, detail?: string) => void;

/** See the file's head. Between two calls nothing is under way on the GPU. */
export interface Training extends AsyncDisposable {
  /** Steps so far. */
  readonly steps: number;
  /** Whether this process speaks for the run: the others of its cluster train with it, and evaluate nothing. Default: it does. */
  readonly isLeading?: boolean;
  /** What checkpoints hold of the GPU's states. */
  readonly trained: Trained;
  /** Makes what {@link trained} has, for its states to be restored before {@link resume}. */
  prepare(): void;
  /** What comes before the first step of a new run, such as a warm start. */
  begin(onPhase: OnPhase, signal: AbortSignal): Promise<void>;
  /** Errors: `non_finite`, after which {@link offendingBatch} is what was trained on and the weights are as before. */
  step(onPhase: OnPhase): Promise<TrainingStep>;
  /** Plays held-out tasks, and measures what else was kept from training. Errors: the signal's reason. */
  evaluate(onPhase: OnPhase, signal?: AbortSignal): Promise<Evaluation>;
  /** Plain JSON to go on from here with the states of {@link trained}. */
  checkpoint(): Promise<object>;
  /** Goes on from what {@link checkpoint} gave, once the states are restored. Before the first step. */
  resume(state: unknown): Promise<void>;
  /** The batch of the step under way; undefined while it has none. */
  offendingBatch(): OffendingBatch | undefined;
}
