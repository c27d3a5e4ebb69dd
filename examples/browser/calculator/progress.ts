/** What the worker tells of the calculator agent. */

/** A part of a conversation: the token that begins it, without its brackets, and what follows. */
export interface Part {
  readonly token: string;
  readonly text: string;
}

/** An episode, as the policy saw and wrote it. */
export interface Transcript {
  readonly parts: readonly Part[];
  readonly isSuccess: boolean;
}

/** Share of the episodes of a step that were right, from 0 to 1. */
export interface PracticePoint {
  readonly step: number;
  readonly share: number;
}

/** The same of problems that are kept from training. */
export type EvaluationPoint = PracticePoint;

/** Loss of a step of the warm start, in nats a token. */
export interface LossPoint {
  readonly step: number;
  readonly loss: number;
}

/** How far it is. */
export interface CalculatorAt {
  /** What comes first is a warm start; then it practises. */
  readonly phase: "warm-start" | "practice";
  /** Steps of the phase that are done, and how many there may be. */
  readonly step: number;
  readonly steps: number;
  readonly episodes: number;
  /** Time spent on training and evaluating, in seconds. */
  readonly seconds: number;
}

export interface CalculatorHistory {
  readonly losses: readonly LossPoint[];
  readonly practice: readonly PracticePoint[];
  readonly evaluations: readonly EvaluationPoint[];
}

export type CalculatorProgress =
  /** All that was before: when training is opened. */
  | {
      readonly kind: "history";
      readonly at: CalculatorAt;
      readonly history: CalculatorHistory;
      readonly parameters: number;
    }
  | { readonly kind: "warm-start"; readonly at: CalculatorAt; readonly point: LossPoint }
  | {
      readonly kind: "practice";
      readonly at: CalculatorAt;
      readonly point: PracticePoint;
      readonly transcripts: readonly Transcript[];
    }
  | { readonly kind: "evaluating"; readonly detail: string }
  | {
      readonly kind: "evaluation";
      readonly at: CalculatorAt;
      readonly point: EvaluationPoint;
      readonly transcripts: readonly Transcript[];
    };
