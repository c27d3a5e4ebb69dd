/** Generalised advantage estimation over the steps of an environment that starts anew when an episode ends. */
import { checkFinite, checkSameLength, finite, type Row, within } from "../rows.ts";

/** Steps of one environment. */
export interface ControlGaeInput {
  /** [steps] */
  readonly rewards: Row;
  /** [steps] V of the state before the step. */
  readonly values: Row;
  /** [steps] whether the episode ended with this step; what follows belongs to another. */
  readonly ends: ArrayLike<boolean>;
  /** V of the state after the last step; unread if that step ended its episode. */
  readonly lastValue: number;
}

/** Options of {@link controlGae}. */
export interface ControlGaeOptions {
  /** Discount γ. Default 0.99. */
  readonly gamma?: number;
  /** Share λ of what follows. Default 0.95. */
  readonly lambda?: number;
}

/** What {@link controlGae} gives, both [steps]. */
export interface ControlGaeResult {
  /** Not normalised: that is done per minibatch. */
  readonly advantages: Float64Array;
  /** Targets of the value function: A + V. */
  readonly returns: Float64Array;
}

/**
 * δ_t = r_t + γ·V_{t+1}·n_t − V_t and A_t = δ_t + γλ·n_t·A_{t+1}, n_t = 0 where the episode ended and 1 elsewhere
 * (Schulman et al. 2015, arXiv:1506.02438, eq. 16, as in CleanRL and Stable-Baselines3).
 *
 * An episode that was cut off counts as ended, as in CleanRL; to bootstrap it, as Stable-Baselines3 does, add γ·V of the
 * state that it was cut off in to the reward of that step.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for γ or λ outside [0, 1]
 */
export function controlGae(
  input: ControlGaeInput,
  options: ControlGaeOptions = {},
): ControlGaeResult {
  const { rewards, values, ends } = input;
  checkSameLength("control gae", { rewards, values, ends });
  checkFinite("control gae: rewards and values", [rewards, values]);
  const gamma = within("control gae: gamma", options.gamma ?? 0.99, 0, 1);
  const lambda = within("control gae: lambda", options.lambda ?? 0.95, 0, 1);
  const advantages = new Float64Array(rewards.length);
  let nextValue = finite("control gae: lastValue", input.lastValue);
  let advantage = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const goesOn = ends[t] === true ? 0 : 1;
    const delta = Number(rewards[t]) + gamma * nextValue * goesOn - Number(values[t]);
    advantage = delta + gamma * lambda * goesOn * advantage;
    advantages[t] = advantage;
    nextValue = Number(values[t]);
  }
  return { advantages, returns: advantages.map((a, t) => a + Number(values[t])) };
}
