/** What an episode is expected to earn: subtracted from all of its steps, it lowers the variance and not the mean. */
import { type GroupId, type Reward, rewardedGroups } from "../groups.ts";
import { finite, within } from "../rows.ts";
import { mean } from "../statistics.ts";

/** Mean of the group, mean of the others of the group, or 0. */
export type BaselineMode = "group-mean" | "leave-one-out" | "none";

/**
 * Baseline of each episode [episodes].
 *
 * Alone in its group: 0, as there is no group. Left alone because the others have no return: its own return. No return
 * (`null`): 0, and in no baseline.
 *
 * @param returns [episodes]
 * @param groups [episodes]
 * @throws ForgeError `shape_mismatch`; `non_finite` for a return that is NaN or infinite
 */
export function trajectoryBaselines(
  returns: ArrayLike<Reward>,
  groups: ArrayLike<GroupId>,
  mode: BaselineMode,
): Float64Array {
  const baselines = new Float64Array(returns.length);
  for (const group of rewardedGroups("trajectory baseline", returns, groups).values()) {
    const { rewards: own, indices, size } = group;
    if (mode === "none" || size === 1 || indices.length === 0) continue;
    const centre = mean(own);
    for (const [k, i] of indices.entries()) {
      // Leaving one out of n moves the mean away from it by 1/(n−1) of its distance.
      const isLeftOut = mode === "leave-one-out" && own.length > 1;
      const shift = isLeftOut ? (Number(own[k]) - centre) / (own.length - 1) : 0;
      baselines[i] = centre - shift;
    }
  }
  return baselines;
}

/** A running mean of the returns of each task, for tasks that are tried once at a time. */
export class RunningBaseline {
  readonly #decay: number;
  /** Σ decay^k·return_k and Σ decay^k over the returns of a task, the latest with k = 0. */
  readonly #sums: Map<GroupId, readonly [returns: number, weights: number]>;

  /**
   * @param decay what a return still weighs after the next one. Default 0.95.
   * @param state what {@link state} gave, to go on from there
   * @throws ForgeError `argument_invalid` for a decay outside [0, 1]
   */
  constructor(decay = 0.95, state: RunningBaselineState = []) {
    this.#decay = within("running baseline: decay", decay, 0, 1);
    this.#sums = new Map(state);
  }

  /** Plain data, for checkpoints. */
  get state(): RunningBaselineState {
    return [...this.#sums];
  }

  /** Mean of the returns of a task so far; 0 for none. Ask before {@link add}, or a return is its own baseline. */
  of(task: GroupId): number {
    const [returns, weights] = this.#sums.get(task) ?? [0, 1];
    return returns / weights;
  }

  /**
   * Counts a return.
   *
   * @throws ForgeError `non_finite`
   */
  add(task: GroupId, value: number): void {
    const [returns, weights] = this.#sums.get(task) ?? [0, 0];
    finite(`return of task ${task}`, value);
    this.#sums.set(task, [this.#decay * returns + value, this.#decay * weights + 1]);
  }
}

/** Weighted sums of returns, and of weights, per task. */
export type RunningBaselineState = readonly (readonly [
  task: GroupId,
  sums: readonly [returns: number, weights: number],
])[];
