/**
 * Agent training yield: J = throughput × sample efficiency (MiniMax Forge, §1; M2 report §6.2.1, eq. 8).
 *
 * The report gives no numbers to its bounds, so they are metrics here: tokens per second of the four parts that limit the
 * throughput, reward gained per thousand samples, variance of the gradient's norm, and policy lag.
 */
import type { Metrics } from "./metrics.ts";

/** What may limit the throughput. */
export type YieldPart = "rollout" | "train" | "data" | "io";

/** Work of one part in one step. */
export interface PartWork {
  readonly tokens: number;
  /** Time that the part took, in milliseconds; parts may overlap. */
  readonly ms: number;
}

/** What the yield is computed of: one step. */
export interface StepYield {
  readonly parts: Readonly<Record<YieldPart, PartWork>>;
  /** Wall time of the step in milliseconds. */
  readonly ms: number;
  /** Episodes consumed. */
  readonly samples: number;
  /** Their mean reward. */
  readonly reward: number;
  readonly gradNorm: number;
  /** Lag of each group consumed, in optimizer steps. */
  readonly lags: readonly number[];
}

const PARTS: readonly YieldPart[] = ["rollout", "train", "data", "io"];

/**
 * All yield metrics of the newest step of a window, oldest step first. Callers keep the last few dozen steps: the reward's
 * slope and the gradient's variance are those of the window.
 */
export function yieldMetrics(window: readonly StepYield[]): Metrics {
  const newest = window.at(-1);
  if (!newest) return {};
  const speed = throughput(window);
  const gain = rewardGain(window);
  return {
    ...workMetrics(newest),
    ...lagMetrics(newest.lags),
    "yield/throughput": speed,
    "yield/reward_gain_per_1k_samples": gain,
    "yield/j": speed * gain,
    "yield/grad_norm_variance": variance(window.map(({ gradNorm }) => gradNorm)),
  };
}

/** Tokens sampled and trained on per second of the wall; 0 in no time. */
export function throughput(window: readonly StepYield[]): number {
  let [tokens, ms] = [0, 0];
  for (const step of window) {
    tokens += step.parts.rollout.tokens + step.parts.train.tokens;
    ms += step.ms;
  }
  return perSecond({ tokens, ms });
}

/**
 * Reward gained per 1,000 consumed samples: slope of the least-squares line through the mean rewards over the samples
 * consumed by then, each step weighted by its samples. The line is what smooths. 0 before two steps with samples.
 */
export function rewardGain(window: readonly StepYield[]): number {
  let consumed = 0;
  // the middle of the samples that the mean is of
  const points = window.map(({ samples, reward }) => {
    consumed += samples;
    return { x: consumed - samples / 2, y: reward, weight: samples };
  });
  if (consumed === 0) return 0;
  const average = (of: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + (point.weight > 0 ? point.weight * of(point) : 0), 0) /
    consumed;
  const [x, y] = [average((point) => point.x), average((point) => point.y)];
  const spread = average((point) => (point.x - x) ** 2);
  return spread > 0 ? (1000 * average((point) => (point.x - x) * (point.y - y))) / spread : 0;
}

/** Unbiased variance; 0 for fewer than two numbers. */
export function variance(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
}

/** `lag/mean`, `lag/max` and the histogram: a row `lag/<n>` for each lag that occurred. */
export function lagMetrics(lags: readonly number[]): Metrics {
  const rows: Record<string, number> = {};
  for (const lag of [...lags].sort((a, b) => a - b))
    rows[`lag/${lag}`] = (rows[`lag/${lag}`] ?? 0) + 1;
  const sum = lags.reduce((total, lag) => total + lag, 0);
  return {
    "lag/mean": lags.length > 0 ? sum / lags.length : 0,
    "lag/max": Math.max(0, ...lags),
    ...rows,
  };
}

/** What the parts did in a step, and how long it took: all there is where nothing is rewarded. */
export function workMetrics({ parts, ms }: StepYield): Metrics {
  return Object.fromEntries([
    ...PARTS.map((part) => [`throughput/${part}_tokens_per_s`, perSecond(parts[part])]),
    ["time/step_ms", ms],
    ...PARTS.map((part) => [`time/${part}_ms`, parts[part].ms]),
  ]);
}

function perSecond({ tokens, ms }: PartWork): number {
  return ms > 0 ? (1000 * tokens) / ms : 0;
}
