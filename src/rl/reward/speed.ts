/** What the time of a success is worth, compared with other successes at the same task. */
import { ForgeError } from "../../../engine/error.ts";
import type { GroupId } from "../groups.ts";
import { finite } from "../rows.ts";
import { median } from "../statistics.ts";

/** An attempt at a task. */
export interface TimedAttempt {
  /** Time to completion with tools and sub-agents, on the wall's clock or a virtual one; only ratios matter. */
  readonly seconds: number;
  readonly succeeded: boolean;
}

/**
 * h(seconds / baseline) with h(x) = clip(1 − x, −1, 1) for a success: 1 for no time at all, 0 at the baseline, −1 from
 * twice the baseline on. 0 for a failure, so that failing fast earns nothing. `null` for a success without a baseline.
 *
 * @throws ForgeError `argument_invalid` for negative seconds or a baseline that is not positive; `non_finite`
 */
export function speedReward(attempt: TimedAttempt, baseline: number | undefined): number | null {
  checkSeconds(attempt.seconds);
  if (!attempt.succeeded) return 0;
  if (baseline === undefined) return null;
  if (!(finite("speed reward: baseline", baseline) > 0)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "speed reward: the baseline is not a positive time",
      got: String(baseline),
      fix: "time attempts with a clock that moves while they run",
    });
  }
  return Math.max(-1, 1 - attempt.seconds / baseline);
}

/** Options of {@link SpeedBaselines}. */
export interface SpeedBaselineOptions {
  /** Earlier successes of a task that are remembered. Default 32. */
  readonly window?: number;
  /**
   * Successes that a group must have to be its own baseline. Default 1; with 2, a lone success is compared with earlier
   * groups rather than with itself.
   */
  readonly minimum?: number;
}

/** Baselines of time per task: the median success of the group, else of the task's latest successes. */
export class SpeedBaselines {
  readonly #window: number;
  readonly #minimum: number;
  readonly #seconds: Map<GroupId, readonly number[]>;

  /**
   * @param state what {@link state} gave, to go on from there
   */
  constructor(options: SpeedBaselineOptions = {}, state: SpeedBaselineState = []) {
    this.#window = options.window ?? 32;
    this.#minimum = options.minimum ?? 1;
    this.#seconds = new Map(state);
    for (const [name, count] of Object.entries({ window: this.#window, minimum: this.#minimum })) {
      if (Number.isInteger(count) && count >= 1) continue;
      throw new ForgeError({
        code: "argument_invalid",
        what: `speed baselines: ${name} is not a positive whole number`,
        got: String(count),
        fix: "give 1 or more",
      });
    }
  }

  /** Times that are remembered; plain data, for checkpoints. */
  get state(): SpeedBaselineState {
    return [...this.#seconds];
  }

  /**
   * Baseline of a group of attempts at a task; undefined where no success is known. The group's own successes are
   * remembered afterwards, so ask once per group.
   *
   * @throws ForgeError `argument_invalid` for negative seconds; `non_finite`
   */
  take(task: GroupId, group: readonly TimedAttempt[]): number | undefined {
    for (const { seconds } of group) checkSeconds(seconds);
    const own = group.filter(({ succeeded }) => succeeded).map(({ seconds }) => seconds);
    const earlier = this.#seconds.get(task) ?? [];
    const known = [...earlier, ...own];
    if (own.length > 0) this.#seconds.set(task, known.slice(-this.#window));
    const compared = own.length >= this.#minimum ? own : known;
    return compared.length > 0 ? median(compared) : undefined;
  }
}

/** Successful times per task. */
export type SpeedBaselineState = readonly (readonly [task: GroupId, seconds: readonly number[]])[];

function checkSeconds(seconds: number): void {
  if (finite("speed reward: seconds", seconds) >= 0) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "speed reward: an attempt took less than no time",
    got: String(seconds),
    fix: "take times from a clock that does not go back",
  });
}
