/** Playing as a configuration says: the sampler, how answers are drawn, and the plays of held-out tasks. */
import type { Device } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import type { TrainConfig } from "../config/types.ts";
import type { EvaluatedEpisode } from "../evaluation/report.ts";
import type { OpenedPolicy } from "../policy/create-policy.ts";
import type { EpisodeSampling } from "./episode.ts";
import { evaluate } from "./evaluate.ts";
import { Rollout } from "./rollout.ts";

/** Options of {@link openRollout}. */
export interface OpenRolloutOptions {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly policy: OpenedPolicy;
  readonly isDeterministic: boolean;
}

/** The sampling side of section `rollout`. Close it when its episodes have ended. */
export function openRollout(options: OpenRolloutOptions): Rollout {
  const { device, config, policy, isDeterministic } = options;
  const { batch, cacheSlots, stepsPerReadback, length } = config.rollout;
  const { model, tokenizer, template, stopIds } = policy;
  return new Rollout({
    ...{ device, model, tokenizer, stopIds, isDeterministic },
    ...(template && { template }),
    ...{ batch, cacheSlots, steps: stepsPerReadback },
    ...(length !== null && { length }),
  });
}

/** How answers are drawn in training. */
export function samplingOf({ rollout }: TrainConfig, { sampler }: Rollout): EpisodeSampling {
  const { temperature, topK, topP, minP, maxTokens, repetition } = rollout;
  return {
    ...{ temperature, length: sampler.length },
    ...(topK > 0 && { topK }),
    ...(topP < 1 && { topP }),
    ...(minP > 0 && { minP }),
    ...(maxTokens !== null && { maxTokens }),
    ...(repetition && { repetition }),
  };
}

/** How long an episode may take in milliseconds: no wall's clock ends one in a deterministic run. */
export function episodeTimeoutOf(
  { isDeterministic }: Rollout,
  { episodeTimeoutMs }: Environment,
  { rollout }: TrainConfig,
): { readonly episodeTimeout?: number } {
  const timeout = episodeTimeoutMs ?? rollout.episodeTimeoutMs;
  return isDeterministic || timeout === null ? {} : { episodeTimeout: timeout };
}

/** Options of {@link playHeldOut}. */
export interface HeldOutOptions {
  readonly rollout: Rollout;
  readonly config: TrainConfig;
  readonly environment: Environment;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Plays held-out tasks as section `eval` says: none where there are none. Answers are drawn from all tokens, whatever
 * training leaves out.
 *
 * Errors    as {@link evaluate}.
 */
export async function playHeldOut(options: HeldOutOptions): Promise<EvaluatedEpisode[]> {
  const { rollout, config, environment, onProgress, signal } = options;
  const { tasks: most, samples, temperature, maxTokens } = config.eval;
  const tasks = environment.eval.slice(0, most ?? environment.eval.length);
  if (tasks.length === 0) return [];
  const { topK: _, topP: __, minP: ___, ...sampling } = samplingOf(config, rollout);
  return evaluate({
    ...{ rollout, environment, tasks, samples, seed: config.seed },
    sampling: { ...sampling, temperature, ...(maxTokens !== null && { maxTokens }) },
    ...episodeTimeoutOf(rollout, environment, config),
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
}
