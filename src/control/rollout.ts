/** What a policy met in N environments over T steps, and what follows from it. */
import { controlGae } from "../rl/advantage/control-gae.ts";
import type { EpisodeStatistics } from "./episode-statistics.ts";
import type { VectorEnvironment } from "./vector-environment.ts";

/** Steps of all environments: row t · N + n is step t of environment n. */
export interface Rollout {
  readonly numEnvs: number;
  readonly numSteps: number;
  /** [(T + 1) · N, D] What was acted on, and what would be acted on next. */
  readonly observations: Float32Array;
  /** [T · N] */
  readonly actions: Uint32Array;
  /** [T · N] */
  readonly rewards: Float64Array;
  /** [T · N] Whether an episode ended with the step. */
  readonly ends: readonly boolean[];
  /** Where episodes were cut off that would have gone on, by row. */
  readonly cutOff: ReadonlyMap<number, Float32Array>;
}

/** Options of {@link collectRollout}. */
export interface CollectOptions {
  readonly environment: VectorEnvironment;
  /** [N, D] What to act on first. */
  readonly observations: Float32Array;
  readonly numSteps: number;
  /** Actions [N] at step t of the rollout. */
  readonly act: (observations: Float32Array, t: number) => Promise<ArrayLike<number>>;
  /** Told of every step. */
  readonly statistics: EpisodeStatistics;
}

/** Plays T steps in all environments. */
export async function collectRollout(options: CollectOptions): Promise<Rollout> {
  const { environment, numSteps, act, statistics } = options;
  const { numEnvs, observationSize } = environment;
  const observations = new Float32Array((numSteps + 1) * numEnvs * observationSize);
  const actions = new Uint32Array(numSteps * numEnvs);
  const rewards = new Float64Array(numSteps * numEnvs);
  const ends: boolean[] = [];
  const cutOff = new Map<number, Float32Array>();
  observations.set(options.observations);
  let current = options.observations;
  for (let t = 0; t < numSteps; t++) {
    const chosen = await act(current, t);
    const step = environment.step(chosen);
    statistics.add(step);
    const row = t * numEnvs;
    actions.set(chosen, row);
    rewards.set(step.rewards, row);
    for (let n = 0; n < numEnvs; n++) {
      const [terminated, truncated] = [step.terminated[n] === true, step.truncated[n] === true];
      ends.push(terminated || truncated);
      if (terminated || !truncated) continue;
      const at = n * observationSize;
      cutOff.set(row + n, step.finalObservations.slice(at, at + observationSize));
    }
    current = step.observations;
    observations.set(current, (row + numEnvs) * observationSize);
  }
  return { numEnvs, numSteps, observations, actions, rewards, ends, cutOff };
}

/** Options of {@link rolloutAdvantages}. */
export interface RolloutAdvantageOptions {
  readonly gamma: number;
  readonly gaeLambda: number;
  /** V where episodes were cut off, by row; without it such an episode counts as terminated. */
  readonly cutOffValues?: ReadonlyMap<number, number>;
}

/**
 * Advantages and returns [T · N] by {@link controlGae}, for values [(T + 1) · N] of the observations.
 *
 * Errors    as of {@link controlGae}
 */
export function rolloutAdvantages(
  rollout: Rollout,
  values: ArrayLike<number>,
  options: RolloutAdvantageOptions,
): { advantages: Float64Array; returns: Float64Array } {
  const { numEnvs, numSteps, rewards, ends } = rollout;
  const { gamma, gaeLambda, cutOffValues } = options;
  const advantages = new Float64Array(rewards.length);
  const returns = new Float64Array(rewards.length);
  for (let n = 0; n < numEnvs; n++) {
    const rows = Array.from({ length: numSteps }, (_, t) => t * numEnvs + n);
    const result = controlGae(
      {
        rewards: rows.map((i) => (rewards[i] as number) + gamma * (cutOffValues?.get(i) ?? 0)),
        values: rows.map((i) => values[i] as number),
        ends: rows.map((i) => ends[i] === true),
        lastValue: values[numSteps * numEnvs + n] as number,
      },
      { gamma, lambda: gaeLambda },
    );
    rows.forEach((i, t) => {
      advantages[i] = result.advantages[t] as number;
      returns[i] = result.returns[t] as number;
    });
  }
  return { advantages, returns };
}
