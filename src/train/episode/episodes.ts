/** From the records of groups to episodes with a reward for each step. */
import type { Environment } from "../../agent/environment.ts";
import type { Completion, GroupRecord, SessionRecord } from "../../pool/record.ts";
import type { Episode } from "../../rl/episode.ts";
import { compositeReward } from "../../rl/reward/composite.ts";
import { type OverlongOptions, overlongPenalty } from "../../rl/reward/overlong.ts";
import { type SpeedBaselines, speedReward } from "../../rl/reward/speed.ts";
import { domainSuccess } from "./domains.ts";
import { SUCCESS } from "./scores.ts";
import { virtualSeconds } from "./virtual-seconds.ts";

/** How rewards are put together. */
export interface RewardOptions {
  /** Weights of components, in place of the environment's. */
  readonly weights?: Readonly<Record<string, number>>;
  /** What the advantages of an agent's tokens are multiplied by, by its role. Default 1. */
  readonly roles?: Readonly<Record<string, number>>;
  /** α and β of the composite reward. */
  readonly process: number;
  readonly speed: number;
  /** Earlier successes of a task that are remembered, and those a group must have; see `SpeedBaselines`. */
  readonly speedWindow?: number;
  readonly speedMinimum?: number;
  /**
   * Seconds that a sampled token counts: time is then that of the longest chain of requests and tools, and waiting for a turn
   * of the sampler counts nothing. Default: from the first request to the end, on the run's clock.
   */
  readonly secondsPerToken?: number | null;
  /**
   * What becomes of an episode that was cut off: it is left out (mask), counts as it is scored (score), or its outcome
   * is 0 (zero).
   */
  readonly truncated: "mask" | "score" | "zero";
  /** A penalty for answers near the limit of their length. Default none. */
  readonly overlong?: OverlongOptions;
}

/** Components by name, as far as they are needed here. */
type Weighted = Readonly<Record<string, { readonly weight: number }>>;

/** The components of an environment's reward. */
interface RewardedEnvironment extends Pick<Environment, "domains"> {
  readonly rewards: Weighted;
  readonly groupRewards: Weighted;
}

/** An episode that was played, with what training and reports need of it. */
export interface RecordedEpisode extends Episode {
  readonly session: SessionRecord;
  /** Requests in their order; [i] is `steps[i]`. */
  readonly completions: readonly Completion[];
  /** Σ of its steps' rewards; `null` where it takes no part. */
  readonly reward: number | null;
  readonly isSuccess: boolean;
  /** Value of each component, speed too, before weights; `null` where it does not apply. */
  readonly components: Readonly<Record<string, number | null>>;
}

/** The episodes of a group. An episode without a weighted reward, or with nothing sampled, takes no part. */
export function episodesOf(
  group: GroupRecord,
  environment: RewardedEnvironment,
  baselines: SpeedBaselines,
  options: RewardOptions,
): RecordedEpisode[] {
  const { secondsPerToken = null } = options;
  const attempts = group.sessions.map((session) => ({
    seconds:
      secondsPerToken === null
        ? session.endedAt - session.startedAt
        : virtualSeconds(session, secondsPerToken),
    succeeded: isSuccess(session),
  }));
  const usesSpeed = options.speed !== 0;
  const counted = attempts.filter((_, i) => group.sessions[i]?.takesPart);
  const baseline = usesSpeed ? baselines.take(group.taskId, counted) : undefined;
  return group.sessions.map((session, i) => {
    const attempt = attempts[i] as (typeof attempts)[number];
    const speed =
      usesSpeed && session.takesPart && baseline !== 0 ? speedReward(attempt, baseline) : null;
    return episodeOf(session, environment, { ...options, speedValue: speed });
  });
}

function isSuccess({ rewards }: SessionRecord): boolean {
  return rewards.some(({ name, value }) => name === SUCCESS && value === 1);
}

function episodeOf(
  session: SessionRecord,
  environment: RewardedEnvironment,
  options: RewardOptions & { readonly speedValue: number | null },
): RecordedEpisode {
  const completions = session.completions
    .filter(({ responseIds }) => responseIds.length > 0)
    .sort((a, b) => a.requestIndex - b.requestIndex);
  const rewards: Weighted = { ...environment.rewards, ...environment.groupRewards };
  const weightOf = (name: string): number => options.weights?.[name] ?? rewards[name]?.weight ?? 0;
  const components: Record<string, number | null> = {};
  for (const name of Object.keys(rewards)) components[name] = meanOf(session, name);
  if (options.speed !== 0) components["speed"] = options.speedValue;
  Object.assign(components, domainSuccess(environment, session.taskId, isSuccess(session)));
  const outcome = outcomeOf(session, rewards, weightOf);
  const isCut = session.status === "truncated";
  const takesPart =
    session.takesPart &&
    completions.length > 0 &&
    outcome !== null &&
    !(isCut && options.truncated === "mask");
  const process = completions.map(({ requestIndex }) => {
    const own = session.rewards.filter(
      (r) => r.kind === "process" && r.requestIndex === requestIndex,
    );
    return own.reduce((sum, { name, value }) => sum + weightOf(name) * value, 0);
  });
  const performance = isCut && options.truncated === "zero" ? 0 : Number(outcome);
  const weights = { process: options.process, speed: options.speed };
  const paid = takesPart
    ? compositeReward({ process, performance, speed: options.speedValue }, weights)
    : new Float64Array(completions.length);
  const shared = takesPart ? performance + options.speed * (options.speedValue ?? 0) : 0;
  const parents = parentsOf(session, completions);
  const last = completions.at(-1);
  if (takesPart && last && options.overlong)
    paid[paid.length - 1] =
      (paid.at(-1) as number) + overlongPenalty(last.responseIds.length, options.overlong);
  return {
    session,
    completions,
    components,
    group: session.groupId,
    takesPart,
    isSuccess: isSuccess(session),
    reward: takesPart ? paid.reduce((sum, value) => sum + value, 0) : null,
    steps: completions.map(({ responseIds, behaviorLogprobs, role }, i) => ({
      tokens: responseIds.length,
      reward: paid[i] as number,
      shared: i === completions.length - 1 ? shared : 0,
      parent: parents[i] ?? null,
      weight: options.roles?.[role] ?? 1,
      rolloutLogprobs: behaviorLogprobs,
    })),
  };
}

/** Of each step, the one whose answer it follows; a request without a sampled token is no step, and is passed over. */
function parentsOf(
  { completions: all }: SessionRecord,
  steps: readonly Completion[],
): (number | null)[] {
  const parents = new Map(all.map(({ requestIndex, parent }) => [requestIndex, parent]));
  const indices = new Map(steps.map(({ requestIndex }, i) => [requestIndex, i]));
  return steps.map(({ parent }) => {
    let at = parent ?? null;
    while (at !== null && !indices.has(at)) at = parents.get(at) ?? null;
    return at === null ? null : (indices.get(at) ?? null);
  });
}

/** Σ weight · value of the outcomes that apply; `null` if no weighted one does. */
function outcomeOf(
  session: SessionRecord,
  rewards: Weighted,
  weightOf: (name: string) => number,
): number | null {
  let sum: number | null = null;
  for (const { kind, name, value } of session.rewards) {
    if (kind !== "outcome" || !Object.hasOwn(rewards, name) || weightOf(name) === 0) continue;
    sum = (sum ?? 0) + weightOf(name) * value;
  }
  return sum;
}

function meanOf({ rewards }: SessionRecord, name: string): number | null {
  const values = rewards.filter((reward) => reward.name === name).map(({ value }) => value);
  return values.length === 0 ? null : values.reduce((sum, v) => sum + v, 0) / values.length;
}
