/** Plays held-out tasks with the policy as it is. */

import type { Environment } from "../../agent/environment.ts";
import type { EvaluatedEpisode } from "../evaluation/report.ts";
import { PURPOSE } from "../seeds.ts";
import { domainSuccess } from "./domains.ts";
import { type EpisodeSampling, playEpisode } from "./episode.ts";
import type { Rollout } from "./rollout.ts";
import { type EpisodeScores, GroupScores } from "./scores.ts";

/** Options of {@link evaluate}. */
export interface EvaluateOptions<Task> {
  readonly rollout: Rollout;
  readonly environment: Environment<Task>;
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
 * Every task `samples` times, all at once: the samples of a task are the group that rewards may compare. Seeds depend on task
 * and sample alone, so that two policies draw the same noise.
 *
 * Errors    what a component of the reward throws; the signal's reason.
 */
export async function evaluate<Task>(options: EvaluateOptions<Task>): Promise<EvaluatedEpisode[]> {
  const { rollout, environment, tasks, samples, onProgress, signal } = options;
  const total = tasks.length * samples;
  const results: EvaluatedEpisode[] = [];
  const groups = tasks.map(() => new GroupScores(environment, samples));
  let done = 0;
  let failure: { readonly error: unknown } | undefined;
  const abort = new AbortController();
  const stop = (): void => abort.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  for (let at = 0; at < total; at++) {
    const place = { taskIndex: Math.floor(at / samples), sampleIndex: at % samples };
    const group = groups[place.taskIndex] as GroupScores<Task>;
    void play(options, place, { stop: abort.signal, group, results })
      .catch((error: unknown) => {
        failure ??= { error };
        abort.abort();
      })
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
  return results;
}

/** Where a play stands, and where what it comes to goes. */
interface Stage<Task> {
  readonly stop: AbortSignal;
  readonly group: GroupScores<Task>;
  /** [tasks · samples] */
  readonly results: EvaluatedEpisode[];
}

async function play<Task>(
  options: EvaluateOptions<Task>,
  { taskIndex, sampleIndex }: { readonly taskIndex: number; readonly sampleIndex: number },
  { stop, group, results }: Stage<Task>,
): Promise<void> {
  const { rollout, environment, sampling, tasks, seed, episodeTimeout } = options;
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
    ...{ environment, task, desk, sampling, seed, place, signal },
    language: rollout.language,
    now: () => rollout.clock.now(),
    onCompletion: async ({ responseIds }) => {
      sampledTokens += responseIds.length;
    },
  }).finally(callOff);
  const first = taskIndex * options.samples;
  results[first + sampleIndex] = {
    taskId: environment.taskId(task, taskIndex),
    ...{ taskIndex, sampleIndex, status, sampledTokens, transcript },
    ...{ isSuccess: false, reward: null, components: {} },
  };
  const isScored = status === "completed" || status === "truncated";
  for (const [sample, scores] of await group.end(sampleIndex, isScored ? trace : undefined)) {
    const episode = results[first + sample] as EvaluatedEpisode;
    results[first + sample] = withScores(episode, scores, environment);
  }
}

function withScores(
  episode: EvaluatedEpisode,
  { isSuccess, outcome, components }: EpisodeScores,
  environment: Pick<Environment, "domains">,
): EvaluatedEpisode {
  const ofDomain = domainSuccess(environment, episode.taskId, isSuccess);
  return { ...episode, isSuccess, reward: outcome, components: { ...components, ...ofDomain } };
}
