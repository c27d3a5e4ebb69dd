/** Plays the episodes of given groups, and hands what they come to in to a pool. */

import type { Environment } from "../../agent/environment.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";
import type { Clock } from "../../pool/clock.ts";
import { sessionIdOf } from "../../pool/open-group.ts";
import type { DataPool } from "../../pool/pool.ts";
import { PURPOSE, TaskOrder } from "../seeds.ts";
import { type EpisodeSampling, type PlayedEpisode, playEpisode } from "./episode.ts";
import type { RequestDesk } from "./request-desk.ts";
import { GroupScores, SUCCESS } from "./scores.ts";
import { sessionDetails } from "./session-details.ts";

/** Options of {@link GroupPlayer}. */
export interface GroupPlayerOptions<Task> {
  readonly environment: Environment<Task>;
  readonly language: PolicyLanguage;
  readonly desk: RequestDesk;
  readonly clock: Clock;
  readonly sampling: EpisodeSampling;
  /** Episodes of each task. */
  readonly groupSize: number;
  /** The run's: what is drawn depends on it, the group and the sample, and not on who plays. */
  readonly seed: number;
  /** How long an episode may take; on the clock. Default: no end. */
  readonly episodeTimeout?: number;
  /** Called when nothing of a group is under way any more. */
  readonly onOver?: (groupId: number) => void;
}

/** Turns of the event loop that aborted episodes have to end in; a score that is waited for may take longer, and is dropped. */
const MOST_DRAINS = 1000;

/** A group under way. */
interface Group<Task> {
  readonly groupId: number;
  readonly task: Task;
  readonly pool: DataPool;
  readonly abort: AbortController;
  readonly scores: GroupScores<Task>;
}

/** Episodes of groups, many at once, each at its own pace. */
export class GroupPlayer<Task> {
  readonly #options: GroupPlayerOptions<Task>;
  readonly #tasks: TaskOrder;
  readonly #groups = new Set<Group<Task>>();
  #failure: { readonly error: unknown } | undefined;
  #agentError: unknown;

  constructor(options: GroupPlayerOptions<Task>) {
    this.#options = options;
    this.#tasks = new TaskOrder(options.environment.trainCount, options.seed);
  }

  /** Groups under way. */
  get size(): number {
    return this.#groups.size;
  }

  /** What a component of the reward threw first: what is played here cannot be scored. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** What the last agent that failed threw, since this was last asked. */
  takeAgentError(): unknown {
    const error = this.#agentError;
    this.#agentError = undefined;
    return error;
  }

  /** The task of a group. Errors: what it throws. */
  taskOf(groupId: number): Task {
    return this.#options.environment.train(this.#tasks.taskOf(groupId));
  }

  /** Name of the task of a group. */
  taskIdOf(groupId: number, task: Task): string {
    return this.#options.environment.taskId(task, this.#tasks.taskOf(groupId));
  }

  /** Opens a group in a pool, which it is then begun in. Errors: as `DataPool.open`. */
  open(groupId: number, task: Task, pool: DataPool): void {
    const { groupSize } = this.#options;
    const taskId = this.taskIdOf(groupId, task);
    pool.open({ groupId, taskId, sessions: groupSize, awaits: [SUCCESS] });
  }

  /** Begins a group that is open in a pool, where nothing was handed in for it yet. */
  begin(groupId: number, task: Task, pool: DataPool): void {
    const { groupSize, environment, onOver } = this.#options;
    const abort = new AbortController();
    const group = { groupId, task, pool, abort, scores: new GroupScores(environment, groupSize) };
    this.#groups.add(group);
    const plays = Array.from({ length: groupSize }, (_, sample) => this.#play(group, sample));
    void Promise.all(plays).then(() => {
      if (this.#groups.delete(group)) onOver?.(groupId);
    });
  }

  /** Calls off what is left of a group. Nothing of it is handed in any more. */
  cancel(groupId: number): void {
    for (const group of this.#groups) if (group.groupId === groupId) group.abort.abort();
  }

  /**
   * Ends all that is under way.
   *
   * @param drain lets the sampler end what was aborted; called until all have ended
   */
  async close(drain: () => Promise<unknown>): Promise<void> {
    for (const { abort } of this.#groups) abort.abort();
    for (let turn = 0; this.#groups.size > 0 && turn < MOST_DRAINS; turn++) await drain();
    this.#groups.clear();
  }

  async #play(group: Group<Task>, sample: number): Promise<void> {
    const { desk: desks, clock, episodeTimeout, ...rest } = this.#options;
    const { groupId, task, pool, abort } = group;
    const place = [PURPOSE.train, groupId, sample];
    const sessionId = sessionIdOf(groupId, sample);
    using desk = desks.open(place);
    const timer = new AbortController();
    const callOff =
      episodeTimeout === undefined
        ? () => {}
        : clock.at(clock.now() + episodeTimeout, () => timer.abort());
    const signal = AbortSignal.any([abort.signal, timer.signal]);
    try {
      const played = await playEpisode({
        ...{ ...rest, task, desk, place, signal },
        now: () => clock.now(),
        onCompletion: (completion) => pool.add(sessionId, completion, signal),
      });
      if (!abort.signal.aborted) await this.#settle(group, sample, played);
    } catch (error) {
      // what a group throws that was called off is of no interest
      if (!abort.signal.aborted) this.#failure ??= { error };
    } finally {
      callOff();
    }
  }

  /**
   * Ends the session of an episode, and posts the rewards that are known by this: its own, or those of the group. All rewards of
   * a session are posted at once, so that at a deadline it has all of them or none.
   */
  async #settle(
    { groupId, pool, abort, scores }: Group<Task>,
    sample: number,
    { status, trace, details, error }: PlayedEpisode<Task>,
  ): Promise<void> {
    const { environment } = this.#options;
    if (status.endsWith("_error")) this.#agentError = error;
    pool.end(sessionIdOf(groupId, sample), status, sessionDetails(details, environment));
    const isScored = status === "completed" || status === "truncated";
    const known = await scores.end(sample, isScored ? trace : undefined);
    if (abort.signal.aborted) return;
    for (const [scored, { records }] of known)
      for (const record of records) pool.reward(sessionIdOf(groupId, scored), record);
  }
}

/** What an agent threw, in one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] as string;
}
