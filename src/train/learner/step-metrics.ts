/** A step of RL as metrics. */
import type { Algorithm } from "../../rl/algorithm/algorithm.ts";
import { mismatch } from "../../rl/importance/mismatch.ts";
import { explainedVariance, mismatchMetrics, policyMetrics } from "../../rl/metrics.ts";
import { mean, standardDeviation } from "../../rl/statistics.ts";
import type { RecordedEpisode } from "../episode/episodes.ts";
import type { Metrics } from "../run/metrics.ts";
import type { ClusterFigures, StepReport } from "../trainer.ts";
import type { LearnerReport, Update } from "./learner.ts";
import { rolloutMetrics, toolMetrics } from "./rollout-metrics.ts";
import { sequenceOffsets, type TrainedSample } from "./trained-samples.ts";

/** All that a step says of itself, but for time and yield. Figures of nothing are left out. */
export function stepMetrics(report: StepReport, algorithm: Algorithm): Metrics {
  const { episodes, learned, droppedGroups, buriedGroups, isOnePolicy = true } = report;
  return {
    ...rewardMetrics(episodes),
    ...rolloutMetrics(episodes),
    ...toolMetrics(episodes),
    "rollout/dropped_groups": droppedGroups,
    "rollout/failed_groups": buriedGroups,
    ...(learned && learnerMetrics(learned, algorithm)),
    ...(learned && isOnePolicy && mismatchOf(learned.first, report.step - 1)),
    ...(report.cluster && clusterMetrics(report.cluster)),
  };
}

function clusterMetrics(figures: ClusterFigures): Metrics {
  const { world, epoch, attempts, sentBytes, ringSeconds } = figures;
  return {
    "cluster/trainers": world,
    "cluster/epoch": epoch,
    "cluster/attempts": attempts,
    "cluster/sent_mb": sentBytes / 1e6,
    "cluster/ring_s": ringSeconds,
  };
}

function rewardMetrics(episodes: readonly RecordedEpisode[]): Metrics {
  const taking = episodes.filter(({ takesPart }) => takesPart);
  const rewards = taking.map(({ reward }) => reward as number);
  const names = [...new Set(taking.flatMap(({ components }) => Object.keys(components)))];
  const components = names.flatMap((name): [string, number][] => {
    const values = taking.flatMap((episode) => episode.components[name] ?? []);
    return values.length > 0 ? [[`reward/${name}`, mean(values)]] : [];
  });
  if (rewards.length === 0) return {};
  return {
    "reward/mean": mean(rewards),
    "reward/std": rewards.length > 1 ? standardDeviation(rewards) : 0,
    "reward/min": Math.min(...rewards),
    "reward/max": Math.max(...rewards),
    ...Object.fromEntries(components),
  };
}

function learnerMetrics(
  { updates, samples, trainedTokens, sampleTokens, forestTokens }: LearnerReport,
  algorithm: Algorithm,
): Metrics {
  const over = (of: (update: Update) => number): number => mean(updates.map(of));
  const row = (of: (sample: TrainedSample) => ArrayLike<number>): number[] =>
    samples.flatMap((sample) => Array.from(of(sample)));
  return {
    "losses/loss": over(({ loss }) => loss),
    "losses/policy_loss": over(({ policyLoss }) => policyLoss),
    ...(algorithm.kl?.in === "loss" && { "losses/kl": over(({ kl }) => kl) }),
    ...(algorithm.critic && {
      "losses/value_loss": over(({ valueLoss }) => valueLoss),
      "losses/explained_variance": explainedVariance(
        row(({ values }) => values ?? []),
        row(({ returns }) => returns ?? []),
      ),
    }),
    "losses/grad_norm": over(({ gradNorm }) => gradNorm),
    "losses/entropy": mean(row(({ entropies }) => entropies)),
    ...policyMetrics(
      {
        logprobs: row(({ updatedLogprobs }) => updatedLogprobs),
        old: row(({ old }) => old),
        advantages: row(({ advantages }) => advantages),
        ...(algorithm.kl && { reference: row(({ reference }) => reference) }),
        offsets: sequenceOffsets(samples, algorithm.per),
      },
      algorithm,
    ),
    "tree/token_ratio": forestTokens > 0 ? sampleTokens / forestTokens : 1,
    "charts/learning_rate": updates.at(-1)?.learningRate ?? 0,
    "charts/trained_tokens": trainedTokens,
  };
}

/**
 * What sampler and trainer say of the same tokens under the same weights. Tokens that older weights sampled say nothing of
 * it: there the policy has moved.
 *
 * @param version of the weights that the step began with
 */
function mismatchOf(samples: readonly TrainedSample[], version: number): Metrics {
  const own = samples.filter(
    ({ policyVersions: [first, last] }) => first === version && last === version,
  );
  if (own.length === 0) return {};
  return mismatchMetrics(
    mismatch(
      own.map(({ trainerLogprobs }) => trainerLogprobs),
      own.map(({ rolloutLogprobs }) => rolloutLogprobs),
    ),
  );
}
