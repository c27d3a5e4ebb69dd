/** What a run's metrics say in plain words when something goes wrong. */
import type { Metrics, StepMetrics } from "./metrics.ts";

/** A warning. */
export interface Warning {
  /** Which one: stable, for programs. */
  readonly code: string;
  /** What is wrong, and what to do about it. */
  readonly text: string;
}

/** A rule that a step breaks. It is given the step's metrics and those of the steps before, newest last. */
interface Rule {
  readonly code: string;
  /** Steps in a row that must break it. Default 1. */
  readonly streak?: number;
  /** The text, or undefined where the metrics are as they should be, or absent. */
  readonly text: (metrics: Metrics) => string | undefined;
}

/** Steps for which a rule must hold before the next time that it is broken is news. */
const CALM_STEPS = 10;
/** A share of groups, episodes or tokens from which on a step is spoilt rather than thinned. */
const HALF = 0.5;
/** Sampling and training run the same kernels in f32: what they differ by is rounding. Nats. */
const MISMATCH_LIMIT = 1e-4;
/** PPO implementations stop an update at 0.01 to 0.05. Nats a token. */
const KL_LIMIT = 0.1;
/** Nats. A policy that is surer than this gives the same answer every time. */
const ENTROPY_LIMIT = 0.01;
const ERROR_LIMIT = 0.1;
const LONG_STREAK = 20;
/** What equal returns, or equal probabilities, leave without a value. */
const UNDEFINED_AT_TIMES: readonly string[] = ["losses/explained_variance", "mismatch/pearson"];

/** Steps that {@link warningsOf} looks at; callers need not keep more. */
export const WARNING_STEPS: number = CALM_STEPS + LONG_STREAK;

const RULES: readonly Rule[] = [
  {
    code: "non_finite",
    text: (metrics) => {
      const found = Object.entries(metrics).filter(
        ([name, value]) => !Number.isFinite(value) && !UNDEFINED_AT_TIMES.includes(name),
      );
      if (found.length === 0) return undefined;
      const names = found.slice(0, 3).map(([name, value]) => `${name} is ${value}`);
      const more = found.length > 3 ? ` and ${found.length - 3} more` : "";
      return `${names.join(", ")}${more}: lower optimizer.lr or optimizer.maxGradNorm, and look at the rewards of this step`;
    },
  },
  {
    code: "zero_variance",
    text: (metrics) => {
      const [equal, groups] = [metrics["rollout/zero_variance_groups"], metrics["rollout/groups"]];
      if (!equal || !groups || equal < HALF * groups) return undefined;
      const success = metrics["rollout/success_rate"];
      const remedy =
        success === undefined
          ? "make tasks harder or easier"
          : `make tasks ${success > HALF ? "harder" : "easier"} (${percent(success)} succeed)`;
      return `${equal} of ${groups} groups got the same reward in every sample: nothing to learn from; ${remedy}, or raise rollout.groupSize`;
    },
  },
  {
    code: "truncated",
    text: (metrics) => {
      const share = metrics["rollout/truncated_rate"] ?? 0;
      if (share < HALF) return undefined;
      const who = share >= 1 ? "all episodes were" : `${percent(share)} of the episodes were`;
      return `${who} cut off at the limit of tokens or turns before they could end: raise rollout.maxTokens, or what else limits them`;
    },
  },
  {
    code: "errors",
    text: (metrics) => {
      const share = metrics["rollout/error_rate"] ?? 0;
      if (share < ERROR_LIMIT) return undefined;
      return `${percent(share)} of the episodes ended by an error and are not trained on: rollouts.jsonl says which`;
    },
  },
  {
    code: "mismatch",
    text: (metrics) => {
      const difference = metrics["mismatch/max_abs"] ?? 0;
      if (!(difference > MISMATCH_LIMIT)) return undefined;
      return `log-probabilities of sampling and training differ by ${difference.toExponential(1)} (at most 1e-4 in f32): the two do not compute the same policy; use f32, and run forge-gpu doctor`;
    },
  },
  {
    code: "approx_kl",
    text: (metrics) => {
      const kl = metrics["losses/approx_kl"] ?? 0;
      if (!(kl > KL_LIMIT)) return undefined;
      return `one step moved the policy by ${kl.toFixed(2)} nats a token (0.01 is usual): lower optimizer.lr or algorithm.epochs`;
    },
  },
  {
    code: "clip_fraction",
    text: (metrics) => {
      const share = metrics["losses/clip_fraction"] ?? 0;
      if (share < HALF) return undefined;
      return `the loss held back ${percent(share)} of the tokens: they teach nothing; lower optimizer.lr or widen the clip range`;
    },
  },
  {
    code: "entropy",
    streak: 5,
    text: (metrics) => {
      const entropy = metrics["losses/entropy"];
      if (entropy === undefined || !(entropy < ENTROPY_LIMIT)) return undefined;
      return `the policy's entropy is ${entropy.toExponential(1)} nats: it gives the same answers again and again; raise algorithm.entropyCoefficient or rollout.temperature, or stop here`;
    },
  },
  {
    code: "no_success",
    streak: LONG_STREAK,
    text: (metrics) =>
      metrics["rollout/success_rate"] === 0
        ? `no episode has succeeded for ${LONG_STREAK} steps: begin with easier tasks, a finer reward, or SFT on demonstrations`
        : undefined,
  },
  {
    code: "explained_variance",
    streak: LONG_STREAK,
    text: (metrics) =>
      (metrics["losses/explained_variance"] ?? 0) < 0
        ? "the critic predicts returns worse than a constant would: raise its learning rate or coefficient, or use a group baseline"
        : undefined,
  },
];

/**
 * The warnings of the newest step of a history, oldest first. Each is said once: not again before the rule has held for ten
 * steps. A pure function: a caller that passes the history at every step says everything.
 */
export function warningsOf(history: readonly StepMetrics[]): readonly Warning[] {
  const steps = history.slice(-WARNING_STEPS).map(({ metrics }) => metrics);
  const newest = steps.at(-1);
  if (!newest) return [];
  return RULES.flatMap((rule) => {
    const text = rule.text(newest);
    if (text === undefined || !isBroken(rule, steps)) return [];
    const isOld = Array.from({ length: CALM_STEPS }, (_, i) => steps.slice(0, -1 - i));
    return isOld.some((before) => isBroken(rule, before)) ? [] : [{ code: rule.code, text }];
  });
}

function isBroken(rule: Rule, steps: readonly Metrics[]): boolean {
  const { streak = 1 } = rule;
  return (
    steps.length >= streak &&
    steps.slice(-streak).every((metrics) => rule.text(metrics) !== undefined)
  );
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
