/** How well a policy plays. */
import { ForgeError } from "../../engine/error.ts";
import { type EpisodeRecord, EpisodeStatistics } from "./episode-statistics.ts";
import type { VectorEnvironment } from "./vector-environment.ts";

/** Options of {@link playEpisodes}. */
export interface PlayOptions {
  readonly environment: VectorEnvironment;
  readonly episodes: number;
  /** Of the environments. */
  readonly seed: number;
  /** Actions [N] at a step. */
  readonly act: (observations: Float32Array, step: number) => Promise<ArrayLike<number>>;
}

/**
 * Plays episodes from their beginning, each environment its share of them: the first ones that it begins. Were it the first
 * ones that end, short episodes would count too often.
 *
 * Errors    `argument_invalid` unless there is at least one to play
 */
export async function playEpisodes(options: PlayOptions): Promise<EpisodeRecord[]> {
  const { environment, episodes, seed, act } = options;
  const { numEnvs } = environment;
  if (!(Number.isSafeInteger(episodes) && episodes >= 1)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "evaluate: episodes is no count.",
      got: String(episodes),
      fix: "pass a whole number from 1 on",
    });
  }
  const left = Array.from({ length: numEnvs }, (_, n) => Math.floor((episodes + n) / numEnvs));
  const statistics = new EpisodeStatistics(numEnvs);
  const played: EpisodeRecord[] = [];
  let observations = environment.reset(seed);
  for (let step = 0; played.length < episodes; step++) {
    const result = environment.step(await act(observations, step));
    statistics.add(result);
    for (const episode of statistics.take()) {
      const share = left[episode.environment] as number;
      if (share === 0) continue;
      left[episode.environment] = share - 1;
      played.push(episode);
    }
    observations = result.observations;
  }
  return played;
}
