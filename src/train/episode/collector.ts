/** Plays the episodes that the scheduler admits, and hands what they come to in to the pool. */

import type { Environment } from "../../agent/environment.ts";
import type { PolicyLanguage } from "../../agent/policy.ts";
import type { Clock } from "../../pool/clock.ts";
import { sessionIdOf } from "../../pool/open-group.ts";
import type { DataPool } from "../../pool/pool.ts";
import type { Scheduler } from "../../pool/scheduler.ts";
import { PURPOSE, TaskOrder } from "../seeds.ts";
import { type EpisodeSampling, type PlayedEpisode, playEpisode } from "./episode.ts";
import type { RequestDesk } from "./request-desk.ts";
import { GroupScores, SUCCESS } from "./scores.ts";
import { sessionDetails } from "./session-details.ts";

/** Options of {@link Collector}. */
export interface CollectorOptions<Task> {
  readonly environment: Environment<Task>;
  readonly language: PolicyLanguage;
  readonly scheduler: Scheduler;
  readonly pool: DataPool;
  readonly desk: RequestDesk;
  readonly clock: Clock;
  readonly sampling: EpisodeSampling;
  /** Episodes of each task. */
  readonly groupSize: number;
  readonly seed: number;
  /** How long an episode, and a group, may take; on the clock. Default: no end. */
  readonly episodeTimeout?: number;
  readonly groupTimeout?: number;
}

/** Turns of the event loop that aborted episodes have to end in; a score that is waited for may take longer, and is dropped. */
const MOST_DRAINS = 1000;

/** A group under way. */
interface Group<Task> {
  readonly groupId: number;
  readonly task: Task;
  readonly abort: AbortController;
  readonly scores: GroupScores<Task>;
}

/** Episodes of groups, many at once, each at its own pace. */
export class Collector<Task> {
  readonly #options: CollectorOptions<Task>;
  readonly #tasks: TaskOrder;
  readonly #groups = new Map<number, Group<Task>>();
  #failure: { readonly error: unknown } | undefined;
  #agentError: unknown;

  constructor(options: CollectorOptions<Task>) {
    this.#options = options;
    this.#tasks = new TaskOrder(options.environment.trainCount, options.seed);
  }

  /** Groups under way. */
  get size(): number {
    return this.#groups.size;
  }

  /** What the last agent that failed threw, since this was last asked. */
  takeAgentError(): unknown {
    const error = this.#agentError;
    this.#agentError = undefined;
    return error;
  }

  /** Begins groups while the scheduler has slots. Errors: what a task or a component of the reward threw. */
  admit(): void {
    if (this.#failure) throw this.#failure.error;
    const { scheduler, pool, clock, groupSize, groupTimeout, environment } = this.#options;
    for (let ticket = scheduler.admit(); ticket; ticket = scheduler.admit()) {
      const task = this.#taskOf(ticket.id);
      const taskId = environment.taskId(task, this.#tasks.taskOf(ticket.id));
      pool.open({
        ...{ groupId: ticket.id, taskId, sessions: groupSize, awaits: [SUCCESS] },
        ...(groupTimeout !== undefined && { deadline: clock.now() + groupTimeout }),
      });
      this.#begin(ticket.id, task);
    }
  }

  /**
   * Begins the groups again that are not finished, as if nothing of them had happened: after a checkpoint was restored,
   * and, so that the run that wrote it goes on alike, after it was written.
   *
   * @param drain lets the sampler end what was aborted; called until all have ended
   */
  async restart(drain: () => Promise<unknown>): Promise<void> {
    const { pool, clock, groupTimeout } = this.#options;
    await this.close(drain);
    for (const groupId of pool.unfinished) {
      pool.restart(groupId, groupTimeout === undefined ? undefined : clock.now() + groupTimeout);
      this.#begin(groupId, this.#taskOf(groupId));
    }
  }

  /** Calls off what is left of a group that the pool has given up. */
  cancel(groupId: number): void {
    this.#groups.get(groupId)?.abort.abort();
  }

  /** Ends all that is under way. See {@link restart} for `drain`. */
  async close(drain: () => Promise<unknown>): Promise<void> {
    for (const { abort } of this.#groups.values()) abort.abort();
    for (let turn = 0; this.#groups.size > 0 && turn < MOST_DRAINS; turn++) await drain();
    this.#groups.clear();
  }

  #taskOf(groupId: number): Task {
    return this.#options.environment.train(this.#tasks.taskOf(groupId));
  }

  #begin(groupId: number, task: Task): void {
    const { groupSize, environment } = this.#options;
    const abort = new AbortController();
    const group = { groupId, task, abort, scores: new GroupScores(environment, groupSize) };
    this.#groups.set(groupId, group);
    const plays = Array.from({ length: groupSize }, (_, sample) => this.#play(group, sample));
    void Promise.all(plays).then(() => {
      if (this.#groups.get(groupId) === group) this.#groups.delete(groupId);
    });
  }

  async #play(group: Group<Task>, sample: number): Promise<void> {
    const { desk: desks, pool, clock, episodeTimeout, ...rest } = this.#options;
    const { groupId, task, abort } = group;
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
    { groupId, abort, scores }: Group<Task>,
    sample: number,
    { status, trace, details, error }: PlayedEpisode<Task>,
  ): Promise<void> {
    const { pool, environment } = this.#options;
    if (status.endsWith("_error")) this.#agentError = error;
    pool.end(sessionIdOf(groupId, sample), status, sessionDetails(details, environment));
    const isScored = status === "completed" || status === "truncated";
    const known = await scores.end(sample, isScored ? trace : undefined);
    if (abort.signal.aborted) return;
    for (const [scored, { records }] of known)
      for (const record of records) pool.reward(sessionIdOf(groupId, scored), record);
  }
}
