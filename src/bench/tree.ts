/**
 * A learning step on samples that share prefixes, merged and each by itself.
 *
 * The load has the shape of research on agents: a group of 8 episodes of 80 turns, a prompt of 8,000 tokens, 300 sampled and
 * 1,200 observed tokens a turn, all divided by the same number. The ratio of tokens depends on the proportions only.
 */
import { createModel, type Device, type ModelConfig } from "../../engine/index.ts";
import type { ForestReport } from "../pool/forest-report.ts";
import { forge } from "../rl/algorithm/forge.ts";
import type { RecordedEpisode } from "../train/episode/episodes.ts";
import { Learner, type LearnerReport } from "../train/learner/learner.ts";
import { type Contender, contender, type MeasureOptions, measure } from "./measure.ts";
import { digits, type Row, type Section } from "./report.ts";
import { type TreeLoadShape, treeLoad } from "./tree-load.ts";

interface TreeSpec {
  /** What lengths are divided by. */
  readonly scale: number;
  readonly config: ModelConfig;
  readonly tokenBudget: number;
}

const SMALL: TreeSpec = {
  scale: 300,
  config: { vocab: 256, layers: 2, width: 128, heads: 4, mlpWidth: 344, maxDepth: 512 },
  tokenBudget: 4096,
};

const LARGE: TreeSpec = {
  scale: 30,
  config: { vocab: 256, layers: 8, width: 512, heads: 8, mlpWidth: 1376, maxDepth: 8192 },
  tokenBudget: 32_768,
};

/** The table of the benchmark, and as figures what merging saves and what of it arrives. */
export async function treeSection(device: Device, options: MeasureOptions): Promise<Section> {
  const spec = device.isSoftware ? SMALL : LARGE;
  const shape = shapeOf(spec);
  const episodes = treeLoad(shape);
  using merged = learnerOf(device, spec, true);
  using apart = learnerOf(device, spec, false);
  const report = await check(merged, apart, episodes);
  const contenders = [
    stepping("merged", merged, episodes),
    stepping("each request by itself", apart, episodes),
  ];
  const [own, other] = await measure(contenders, { blockMs: 2000, ...options });
  if (!own || !other) throw new Error("a contender was not measured");
  const { turns, group, prompt, action, observation } = shape;
  const task = `${group} × ${turns} turns of ${action} + ${observation}, prompt ${prompt}`;
  const rows = [own, other].map((summary): Row => {
    return { ...summary, task, tokens: report.perRequest.tokens };
  });
  const figures = figuresOf(report, other.medianMs / own.medianMs);
  return { rows, figures, notes: [noteOf(spec, report, figures)] };
}

function shapeOf({ scale, config }: TreeSpec): TreeLoadShape {
  return {
    vocab: config.vocab,
    prompt: Math.round(8000 / scale),
    action: Math.round(300 / scale),
    observation: Math.round(1200 / scale),
    turns: 80,
    group: 8,
  };
}

/** Models of both have the same weights. */
function learnerOf(device: Device, { config, tokenBudget }: TreeSpec, isMerged: boolean): Learner {
  return new Learner({
    device,
    model: createModel({ ...config, seed: 1 }),
    algorithm: forge(),
    optimizer: { lr: 1e-4, betas: [0.9, 0.95], eps: 1e-15, clipNorm: 1 },
    ...{ tokenBudget, isMerged },
  });
}

function stepping(name: string, learner: Learner, episodes: readonly RecordedEpisode[]): Contender {
  return contender(name, async (calls) => {
    for (let i = 0; i < calls; i++) await learner.step(episodes);
  });
}

/** Both must have the same loss, and gradients that differ by a ten-thousandth of the largest. */
async function check(
  merged: Learner,
  apart: Learner,
  episodes: readonly RecordedEpisode[],
): Promise<ForestReport> {
  const [own, other] = [await merged.step(episodes), await apart.step(episodes)];
  const difference = Math.abs(lossOf(own) - lossOf(other));
  if (!(difference <= 1e-6)) throw new Error(`the loss of merged samples is ${difference} off`);
  const [a, b] = [await momentOf(merged), await momentOf(apart)];
  const largest = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const worst = a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);
  if (largest > 0 && worst <= 1e-4 * largest) return own.forests[0] as ForestReport;
  throw new Error(`gradients of merged samples are ${worst} off, of at most ${largest}`);
}

function lossOf({ updates }: LearnerReport): number {
  return updates[0]?.loss ?? Number.NaN;
}

/** After one step, the first moment is a multiple of the gradient. */
async function momentOf({ optimizer }: Learner): Promise<Float32Array> {
  return (await optimizer.m.read()) as Float32Array;
}

function figuresOf(report: ForestReport, speedup: number): Record<string, number> {
  const { speedupPerRequest, speedupPerTrajectory } = report;
  return {
    "tokens per request / merged": speedupPerRequest.tokens,
    "pairs per request / merged": speedupPerRequest.pairs,
    "tokens per trajectory / merged": speedupPerTrajectory.tokens,
    "pairs per trajectory / merged": speedupPerTrajectory.pairs,
    "speed-up": speedup,
    "speed-up / tokens": speedup / speedupPerRequest.tokens,
  };
}

function noteOf(
  { scale, config, tokenBudget }: TreeSpec,
  { perRequest, perTrajectory, tree }: ForestReport,
  figures: Readonly<Record<string, number>>,
): string {
  const { layers, width } = config;
  const saved = Object.entries(figures).map(([name, value]) => `${name} ${digits(value)}`);
  return (
    `A call is a whole step of forge (CISPO): forest, forward, backward, AdamW, losses and log-probs read back. Lengths are 1/${scale} ` +
    `of 8,000 + 80 × (300 + 1,200) tokens; ${layers} layers of width ${width}, batches of at most ${tokenBudget} tokens. ` +
    `\`tokens\` counts those of all samples, ${perRequest.tokens}; merged they are ${tree.tokens}, joined by trajectory ` +
    `${perTrajectory.tokens}. ${saved.join(", ")}.`
  );
}
