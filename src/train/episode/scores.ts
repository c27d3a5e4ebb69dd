/** What the components of an environment say of its episodes, and the rewards that follow. */

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

/** What an episode scored by itself. */
type OwnScores = Omit<EpisodeScores, "isSuccess">;

/** Scores of an episode, and which one of its group it is. */
type Scored = readonly [sample: number, scores: EpisodeScores];

/**
 * Scores the episodes of a group as they end: each by itself at once, and against each other when the last one has ended,
 * where there are rewards that do so.
 */
export class GroupScores<Task> {
  readonly #environment: Environment<Task>;
  readonly #ended: { sample: number; trace: EpisodeTrace<Task>; own: OwnScores }[] = [];
  #underWay: number;

  /** @param count of the episodes */
  constructor(environment: Environment<Task>, count: number) {
    this.#environment = environment;
    this.#underWay = count;
  }

  /**
   * Takes an episode that has ended; call it once for each. Gives the scores that are complete by this: its own, or with
   * rewards of the group none before the last has ended, and then all of them.
   *
   * Errors    `environment_failed`, naming the component, for one that throws, or whose score is not a finite number, or that
   *           has not a score for each play of a group; `argument_invalid` for a list whose length is not that of the replies.
   *
   * @param trace undefined for an episode that failed or was called off, which is in no comparison
   */
  async end(sample: number, trace: EpisodeTrace<Task> | undefined): Promise<Scored[]> {
    const own = trace && (await ownScores(this.#environment, trace));
    this.#underWay--;
    if (own) this.#ended.push({ sample, trace, own });
    const isCompared = Object.keys(this.#environment.groupRewards).length > 0;
    if (isCompared && this.#underWay > 0) return [];
    const ended = this.#ended.splice(0).sort((a, b) => a.sample - b.sample);
    const scores = await completeScores(this.#environment, ended);
    return ended.map(({ sample: of }, i) => [of, scores[i] as EpisodeScores]);
  }
}

/** Scores an episode that is alone. Errors: as {@link GroupScores.end}. */
export async function scoreEpisode<Task>(
  environment: Environment<Task>,
  trace: EpisodeTrace<Task>,
): Promise<EpisodeScores> {
  const [[, scores] = []] = await new GroupScores(environment, 1).end(0, trace);
  return scores as EpisodeScores;
}

/** Asks every component that looks at the episode alone. */
async function ownScores<Task>(
  { rewards, name }: Environment<Task>,
  trace: EpisodeTrace<Task>,
): Promise<OwnScores> {
  const components: Record<string, number | null> = {};
  const records: RewardInput[] = [];
  let outcome: number | null = null;
  for (const [key, { weight, kind, score }] of Object.entries(rewards)) {
    const what = `reward "${key}" of environment "${name}"`;
    const values = valuesOf(what, await asked(what, () => score(trace)), trace, kind);
    components[key] = meanOf(values.map(({ value }) => value));
    for (const { requestIndex, value } of values)
      if (value !== null) records.push({ requestIndex, kind, name: key, value });
    if (kind === "outcome") outcome = added(outcome, weight, components[key]);
  }
  return { components, outcome, records };
}

/** Adds what compares the episodes, and whether each was a success. */
async function completeScores<Task>(
  environment: Environment<Task>,
  ended: readonly { readonly trace: EpisodeTrace<Task>; readonly own: OwnScores }[],
): Promise<EpisodeScores[]> {
  const compared = await groupValues(
    environment,
    ended.map(({ trace }) => trace),
  );
  const complete: EpisodeScores[] = [];
  for (const [i, { trace, own }] of ended.entries()) {
    const components = { ...own.components };
    const records = [...own.records];
    let { outcome } = own;
    for (const { name, weight, values } of compared) {
      const value = values[i] ?? null;
      components[name] = value;
      outcome = added(outcome, weight, value);
      if (value !== null) records.push({ kind: "outcome", name, value });
    }
    const what = `isSuccess of environment "${environment.name}"`;
    const isSuccess =
      outcome !== null && (await asked(what, () => environment.isSuccess(trace, Number(outcome))));
    records.push({ kind: "outcome", name: SUCCESS, value: isSuccess ? 1 : 0 });
    complete.push({ components, outcome, isSuccess, records });
  }
  return complete;
}

interface GroupValues {
  readonly name: string;
  readonly weight: number;
  /** [episodes] */
  readonly values: readonly (number | null)[];
}

/** Asks what compares episodes; where there are not two, nothing applies and nobody is asked. */
async function groupValues<Task>(
  { groupRewards, name: environment }: Environment<Task>,
  traces: readonly EpisodeTrace<Task>[],
): Promise<GroupValues[]> {
  const result: GroupValues[] = [];
  for (const [name, { weight, score }] of Object.entries(groupRewards)) {
    const what = `group reward "${name}" of environment "${environment}"`;
    const isCompared = traces.length >= 2;
    const values = isCompared ? await asked(what, () => score(traces)) : traces.map(() => null);
    if (!Array.isArray(values) || values.length !== traces.length) {
      const got = Array.isArray(values) ? `${values.length} values` : typeof values;
      throw new ForgeError({
        code: "environment_failed",
        what: `${what} has not a score for each play.`,
        got: `${got} for ${traces.length} plays`,
        fix: "give a list with a number or null for each play, in their order",
      });
    }
    for (const value of values) checkScore(what, value);
    result.push({ name, weight, values });
  }
  return result;
}

/** An outcome with one more component, where that applies and counts. */
function added(outcome: number | null, weight: number, value: number | null): number | null {
  return weight === 0 || value === null ? outcome : (outcome ?? 0) + weight * value;
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
  for (const { value } of values) checkScore(what, value);
  return values;
}

function checkScore(what: string, value: number | null): void {
  if (value === null || Number.isFinite(value)) return;
  throw new ForgeError({
    code: "environment_failed",
    what: `${what} is not a finite number.`,
    got: String(value),
    fix: "give null where there is no reward",
  });
}

function meanOf(values: readonly (number | null)[]): number | null {
  const there = values.filter((value) => value !== null);
  return there.length === 0 ? null : there.reduce((sum, value) => sum + value, 0) / there.length;
}
