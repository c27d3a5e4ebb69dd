/** Plays held-out tasks with the policy as it is. */

import type { Tokenizer } from "../../../engine/index.ts";
import type { Environment } from "../../agent/environment.ts";
import type { EvaluatedEpisode } from "../evaluation/report.ts";
import { PURPOSE } from "../seeds.ts";
import { type EpisodeSampling, playEpisode } from "./episode.ts";
import type { Rollout } from "./rollout.ts";
import { scoreEpisode } from "./scores.ts";

/** Options of {@link evaluate}. */
export interface EvaluateOptions<Task> {
  readonly rollout: Rollout;
  readonly environment: Environment<Task>;
  readonly tokenizer: Tokenizer;
  readonly sampling: EpisodeSampling;
  readonly tasks: readonly Task[];
  /** Episodes of each task. */
  readonly samples: number;
  readonly seed: number;
  /** How long an episode may take, on the rollout's clock, before it is cancelled. Default: no end. */
  readonly episodeTimeout?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Every task `samples` times, all at once. Seeds depend on task and sample alone, so that two policies draw the same noise.
 *
 * Errors    what a component of the reward throws; the signal's reason.
 */
export async function evaluate<Task>(options: EvaluateOptions<Task>): Promise<EvaluatedEpisode[]> {
  const { rollout, tasks, samples, onProgress, signal } = options;
  const total = tasks.length * samples;
  const results: (EvaluatedEpisode | undefined)[] = [];
  let done = 0;
  let failure: { readonly error: unknown } | undefined;
  const abort = new AbortController();
  const stop = (): void => abort.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  for (let at = 0; at < total; at++) {
    const place = { taskIndex: Math.floor(at / samples), sampleIndex: at % samples };
    void play(options, place, abort.signal)
      .then(
        (episode) => {
          results[at] = episode;
        },
        (error: unknown) => {
          failure ??= { error };
          abort.abort();
        },
      )
      .finally(() => {
        done++;
        onProgress?.(done, total);
      });
  }
  try {
    while (done < total) {
      if (abort.signal.aborted) {
        await rollout.drain();
      } else {
        await rollout.rest();
        if (done < total) await rollout.turn();
      }
    }
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  if (failure) throw failure.error;
  signal?.throwIfAborted();
  return results as EvaluatedEpisode[];
}

async function play<Task>(
  options: EvaluateOptions<Task>,
  { taskIndex, sampleIndex }: { readonly taskIndex: number; readonly sampleIndex: number },
  stop: AbortSignal,
): Promise<EvaluatedEpisode> {
  const { rollout, environment, tokenizer, sampling, tasks, seed, episodeTimeout } = options;
  const timer = new AbortController();
  const { clock } = rollout;
  const callOff =
    episodeTimeout === undefined
      ? () => {}
      : clock.at(clock.now() + episodeTimeout, () => timer.abort());
  const signal = AbortSignal.any([stop, timer.signal]);
  const task = tasks[taskIndex] as Task;
  const place = [PURPOSE.evaluation, taskIndex, sampleIndex];
  using desk = rollout.desk.open(place);
  let sampledTokens = 0;
  const { status, trace, transcript } = await playEpisode({
    ...{ environment, task, tokenizer, desk, sampling, seed, place, signal },
    now: () => rollout.clock.now(),
    onCompletion: async ({ responseIds }) => {
      sampledTokens += responseIds.length;
    },
  }).finally(callOff);
  const isScored = trace && (status === "completed" || status === "truncated");
  const scores = isScored ? await scoreEpisode(environment, trace) : undefined;
  return {
    taskId: environment.taskId(task, taskIndex),
    ...{ taskIndex, sampleIndex, status, sampledTokens, transcript },
    isSuccess: scores?.isSuccess ?? false,
    reward: scores?.outcome ?? null,
    components: scores?.components ?? {},
  };
}
