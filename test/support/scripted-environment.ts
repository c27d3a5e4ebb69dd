/** Environments whose episodes are written down: what is observed tells the environment, the episode and the step. */
import type { VectorEnvironment, VectorStep } from "../../src/control/vector-environment.ts";

/** How an episode goes: its rewards, and what ends it. */
export interface Script {
  readonly rewards: readonly number[];
  readonly end: "terminated" | "truncated" | "both";
}

/** Environment n plays its scripts one behind the other, and begins again. Observations are [n, episode, step]. */
export function scriptedEnvironment(scripts: readonly (readonly Script[])[]): VectorEnvironment {
  const at = scripts.map(() => ({ episode: 0, step: 0 }));
  const observe = (): Float32Array =>
    Float32Array.from(at.flatMap(({ episode, step }, n) => [n, episode, step]));
  return {
    numEnvs: scripts.length,
    observationSize: 3,
    numActions: 2,
    reset: () => {
      for (const place of at) Object.assign(place, { episode: 0, step: 0 });
      return observe();
    },
    step: (actions): VectorStep => {
      if (actions.length !== scripts.length) throw new Error(`${actions.length} actions`);
      const current = scripts.map((own, n) => own[(at[n]?.episode ?? 0) % own.length] as Script);
      const rewards = Float64Array.from(current, (s, n) => s.rewards[at[n]?.step ?? 0] as number);
      for (const place of at) place.step++;
      const finalObservations = observe();
      const isOver = current.map((script, n) => at[n]?.step === script.rewards.length);
      at.forEach((place, n) => {
        if (isOver[n]) Object.assign(place, { episode: place.episode + 1, step: 0 });
      });
      return {
        observations: observe(),
        rewards,
        terminated: current.map(({ end }, n) => isOver[n] === true && end !== "truncated"),
        truncated: current.map(({ end }, n) => isOver[n] === true && end !== "terminated"),
        finalObservations,
      };
    },
    save: () => structuredClone(at),
    restore: (state) => {
      (state as typeof at).forEach((place, n) => {
        Object.assign(at[n] ?? {}, place);
      });
    },
  };
}
