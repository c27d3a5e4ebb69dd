/** Forge, the default: CISPO's loss on what an episode still earns from each request on. */
import { type ForgeAdvantageOptions, forgeAdvantage } from "../advantage/forge.ts";
import { stepChains } from "../chains.ts";
import type { AdvantageFunction, Episode } from "../episode.ts";
import { episodeReturn } from "../reward/reward-to-go.ts";
import {
  type BaselineMode,
  RunningBaseline,
  type RunningBaselineState,
} from "../reward/trajectory-baseline.ts";
import { broadcast, stepRewards } from "./adapters.ts";
import type { Algorithm, AlgorithmMemory } from "./algorithm.ts";
import { type AlgorithmOptions, defineAlgorithm } from "./definition.ts";

/** Options of {@link forge}. */
export type ForgeOptions = AlgorithmOptions &
  Omit<ForgeAdvantageOptions, "baseline" | "chains"> & {
    /** Absolute cap on the ratio: 5 means 5. Default 5. */
    readonly ratioCap?: number;
    /** Subtracted from every step of an episode; `running` is the mean of earlier returns of the task. Default group-mean. */
    readonly baseline?: BaselineMode | "running";
    /** What a return still weighs in the running mean after the next one. Default 0.95. */
    readonly decay?: number;
  };

/**
 * MiniMax M2 report, arXiv:2605.26494, §6: A_t = Σ_{u ≥ t} γ^{u−t}·r_u − B for every token of request t, r being the composite
 * of performance, process and speed, and u going along the chain of requests that follow from t; the loss of CISPO; a request is a sequence, and all tokens of the step count alike.
 * The report gives neither γ nor B nor the cap: here 1, the mean of the group, and 5.
 *
 * @throws ForgeError as {@link defineAlgorithm}
 */
export function forge(options: ForgeOptions = {}): Algorithm {
  const { ratioCap = 5, baseline = "group-mean", decay = 0.95, ...rest } = options;
  const { gamma = 1, scale = "none", epsilon = 1e-6, ...own } = rest;
  const settings = { gamma, scale, epsilon };
  return defineAlgorithm(
    {
      name: "forge",
      ...(baseline === "running"
        ? againstEarlier(settings, decay)
        : { advantage: (episodes) => againstBaseline(episodes, { ...settings, baseline }) }),
      loss: { form: "cispo", ratioCap },
      per: "request",
    },
    own,
  );
}

function againstBaseline(
  episodes: readonly Episode[],
  options: ForgeAdvantageOptions,
): ReturnType<AdvantageFunction> {
  const groups = episodes.map(({ group }) => group);
  const chains = episodes.map(stepChains);
  const steps = forgeAdvantage(episodes.map(stepRewards), groups, { ...options, chains });
  return { advantages: episodes.map((episode, i) => broadcast(steps[i] ?? null, episode)) };
}

/** Asks for the baselines of all episodes before it counts any of them: none is its own baseline. */
function againstEarlier(
  options: ForgeAdvantageOptions,
  decay: number,
): { readonly advantage: AdvantageFunction; readonly memory: AlgorithmMemory } {
  let running = new RunningBaseline(decay);
  return {
    advantage: (episodes) => {
      const tasks = episodes.map(({ task, group }) => task ?? group);
      const result = againstBaseline(episodes, {
        ...options,
        baseline: tasks.map((task) => running.of(task)),
      });
      for (const [i, episode] of episodes.entries()) {
        const rewards = stepRewards(episode);
        const earned = rewards && episodeReturn(rewards, options.gamma, stepChains(episode));
        if (earned !== null) running.add(tasks[i] as string, earned);
      }
      return result;
    },
    memory: {
      read: () => running.state,
      write: (state) => {
        running = new RunningBaseline(decay, state as RunningBaselineState);
      },
    },
  };
}
