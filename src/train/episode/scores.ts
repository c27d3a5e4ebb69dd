/** What the components of an environment say of an episode, and the rewards that follow. */

import { ForgeError } from "../../../engine/error.ts";
import type { Environment, EpisodeTrace, Score } from "../../agent/environment.ts";
import type { RewardInput } from "../../pool/record.ts";

/** Name of the reward record that says whether an episode was a success: measured, never paid. */
export const SUCCESS = "success";

/** What an episode scored. */
export interface EpisodeScores {
  /** Value of each component; of a process, the mean over the replies that have one. */
  readonly components: Readonly<Record<string, number | null>>;
  /** Σ weight · value of the outcomes that apply; `null` if none does. */
  readonly outcome: number | null;
  readonly isSuccess: boolean;
  /** For the pool: values without weights. */
  readonly records: readonly RewardInput[];
}

/**
 * Asks every component.
 *
 * Errors    `environment_failed`, naming the component, for one that throws or whose score is not a finite number;
 *           `argument_invalid` for a list whose length is not that of the replies.
 */
export async function scoreEpisode<Task>(
  { rewards, isSuccess, name }: Environment<Task>,
  trace: EpisodeTrace<Task>,
): Promise<EpisodeScores> {
  const components: Record<string, number | null> = {};
  const records: RewardInput[] = [];
  let outcome: number | null = null;
  for (const [key, { weight, kind, score }] of Object.entries(rewards)) {
    const what = `reward "${key}" of environment "${name}"`;
    const values = valuesOf(what, await asked(what, () => score(trace)), trace, kind);
    components[key] = meanOf(values.map(({ value }) => value));
    for (const { requestIndex, value } of values)
      if (value !== null) records.push({ requestIndex, kind, name: key, value });
    if (kind === "outcome" && weight !== 0 && components[key] !== null)
      outcome = (outcome ?? 0) + weight * (components[key] as number);
  }
  const succeeded =
    outcome !== null &&
    (await asked(`isSuccess of environment "${name}"`, () => isSuccess(trace, Number(outcome))));
  records.push({ kind: "outcome", name: SUCCESS, value: succeeded ? 1 : 0 });
  return { components, outcome, isSuccess: succeeded, records };
}

/** Calls what the environment's author has written. Errors: `environment_failed`. */
async function asked<T>(what: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new ForgeError({
      code: "environment_failed",
      what: `${what} has thrown.`,
      got: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
      fix: "mend it, and go on with --resume; give null where there is no reward",
      cause,
    });
  }
}

interface Value {
  readonly requestIndex: number | null;
  readonly value: number | null;
}

/** A score of the episode is of none of its requests; one of its process, given once, is of the last. */
function valuesOf(
  what: string,
  score: Score,
  { replies }: EpisodeTrace<unknown>,
  kind: "outcome" | "process",
): Value[] {
  const last = replies.at(-1)?.requestIndex ?? 0;
  const values: Value[] =
    typeof score === "object" && score !== null
      ? score.map((value, i) => ({ requestIndex: replies[i]?.requestIndex ?? null, value }))
      : [{ requestIndex: kind === "process" ? last : null, value: score }];
  const isList = typeof score === "object" && score !== null;
  if (isList && (kind === "outcome" || score.length !== replies.length)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: `${what} is a list that cannot be used.`,
      got: `${score.length} values for ${replies.length} replies, of kind "${kind}"`,
      fix: 'give one value for each reply, in a component of kind "process"',
    });
  }
  for (const { value } of values) {
    if (value === null || Number.isFinite(value)) continue;
    throw new ForgeError({
      code: "environment_failed",
      what: `${what} is not a finite number.`,
      got: String(value),
      fix: "give null where there is no reward",
    });
  }
  return values;
}

function meanOf(values: readonly (number | null)[]): number | null {
  const there = values.filter((value) => value !== null);
  return there.length === 0 ? null : there.reduce((sum, value) => sum + value, 0) / there.length;
}
