/** What an update of PPO reports, by the names that trainers of language models log too. */
import type { Tensor } from "../../engine/index.ts";
import { mean } from "../rl/statistics.ts";
import type { EpisodeRecord } from "./episode-statistics.ts";
import type { PpoStep } from "./ppo-learner.ts";

/** The scalars of a step. Errors: `non_finite` for one that is not. */
export async function lossMetrics(step: PpoStep): Promise<Record<string, number>> {
  const named: Record<string, Tensor> = {
    "losses/loss": step.loss,
    "losses/policy_loss": step.policyLoss,
    "losses/value_loss": step.valueLoss,
    "losses/entropy": step.entropy,
    "losses/old_approx_kl": step.oldApproxKl,
    "losses/approx_kl": step.approxKl,
    "losses/clip_fraction": step.clipFraction,
    "losses/grad_norm": step.gradNorm,
  };
  const values = await Promise.all(Object.values(named).map((scalar) => scalar.item()));
  return Object.fromEntries(Object.keys(named).map((name, i) => [name, values[i] as number]));
}

/** Means over the episodes that ended; nothing where none did. */
export function episodeMetrics(ended: readonly EpisodeRecord[]): Record<string, number> {
  if (ended.length === 0) return {};
  return {
    "charts/episodic_return": mean(ended.map((episode) => episode.return)),
    "charts/episodic_length": mean(ended.map((episode) => episode.length)),
  };
}

/** 1 − Var(returns − values) / Var(returns): 1 for a perfect critic; 0 where all returns are equal. */
export function explainedVariance(values: ArrayLike<number>, returns: Float64Array): number {
  const variance = (x: Float64Array): number => {
    const centre = mean(x);
    return mean(x.map((value) => (value - centre) ** 2));
  };
  const total = variance(returns);
  return total === 0 ? 0 : 1 - variance(returns.map((r, i) => r - (values[i] as number))) / total;
}
