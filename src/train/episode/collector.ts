/** Has the groups played that the scheduler admits: here, or elsewhere. */

import type { DataPool } from "../../pool/pool.ts";
import { type GroupRecord, refuse } from "../../pool/record.ts";
import type { Scheduler } from "../../pool/scheduler.ts";
import type { PlayedGroup } from "../cluster/played-group.ts";
import type { Dispatcher, GroupHome, Verdict } from "./dispatcher.ts";
import { GroupPlayer, type GroupPlayerOptions } from "./group-player.ts";

/** Options of {@link Collector}. */
export interface CollectorOptions<Task> extends Omit<GroupPlayerOptions<Task>, "onOver"> {
  readonly scheduler: Scheduler;
  readonly pool: DataPool;
  /** How long a group may take; on the clock. Default: no end. */
  readonly groupTimeout?: number;
  /** Others that play. Default: nobody. */
  readonly elsewhere?: Dispatcher;
  /** Groups that are to be played here at once, for now; others go elsewhere, or wait. Default: all. */
  readonly localGroups?: () => number;
}

/** A group that nobody has begun yet. */
interface Unplaced<Task> {
  readonly groupId: number;
  /** Undefined until it is asked for. */
  readonly task: Task | undefined;
}

/** An unfinished group that others were given. */
interface Away {
  /** The first hand-out whose result is still wanted, and its version. */
  readonly attempt: number;
  readonly version: number;
  /** Whether somebody has it now. */
  isOut: boolean;
}

/**
 * A group is played whole by one node. Where it is taken back and handed out again, the first whole result counts: all are alike
 * to training.
 */
export class Collector<Task> implements GroupHome {
  readonly #options: CollectorOptions<Task>;
  readonly #local: GroupPlayer<Task>;
  /** The oldest first. */
  #unplaced: Unplaced<Task>[] = [];
  readonly #away = new Map<number, Away>();
  #attempts = 0;
  #adoptedTokens = 0;
  #failure: { readonly error: unknown } | undefined;
  #agentError: unknown;

  constructor(options: CollectorOptions<Task>) {
    this.#options = options;
    this.#local = new GroupPlayer({ ...options, onOver: () => this.offer() });
    options.elsewhere?.attach(this);
  }

  /** Tokens sampled elsewhere, of all results taken. */
  get adoptedTokens(): number {
    return this.#adoptedTokens;
  }

  /** What the last agent that failed threw, since this was last asked; a line of text of one elsewhere. */
  takeAgentError(): unknown {
    const error = this.#local.takeAgentError() ?? this.#agentError;
    this.#agentError = undefined;
    return error;
  }

  /** Begins groups while the scheduler has slots. Errors: what a task or a component of the reward threw. */
  admit(): void {
    const failure = this.#failure ?? this.#local.failure;
    if (failure) throw failure.error;
    const { scheduler, pool } = this.#options;
    for (let ticket = scheduler.admit(); ticket; ticket = scheduler.admit()) {
      const { id: groupId } = ticket;
      const task = this.#local.taskOf(groupId);
      this.#local.open(groupId, task, pool);
      this.#unplaced.push({ groupId, task });
    }
    this.#place();
  }

  /**
   * Begins the groups again that are not finished, as if nothing of them had happened: after a checkpoint was restored,
   * and, so that the run that wrote it goes on alike, after it was written.
   *
   * @param drain lets the sampler end what was aborted; called until all have ended
   */
  async restart(drain: () => Promise<unknown>): Promise<void> {
    const { pool } = this.#options;
    await this.close(drain);
    for (const groupId of pool.unfinished) {
      pool.restart(groupId);
      this.#unplaced.push({ groupId, task: undefined });
    }
    this.#place();
  }

  /** The pool has finished a group: what is left of it is called off, where it has given that up. */
  finished({ groupId, sessions }: GroupRecord): void {
    if (sessions.some(({ status }) => status === "cancelled")) this.#local.cancel(groupId);
    if (this.#away.delete(groupId)) this.#options.elsewhere?.cancel(groupId);
  }

  /** See `GroupHome.adopt`. */
  adopt(group: PlayedGroup): Verdict {
    const { groupId, attempt, sessions, agentError } = group;
    const away = this.#away.get(groupId);
    if (!away || attempt < away.attempt) return "unwanted";
    this.#check(group, away);
    this.#options.pool.adopt(groupId, sessions);
    // it was begun here since, or is about to be
    this.#local.cancel(groupId);
    this.#unplaced = this.#unplaced.filter((unplaced) => unplaced.groupId !== groupId);
    if (agentError !== null) this.#agentError = agentError;
    for (const { completions } of sessions)
      for (const { responseIds } of completions) this.#adoptedTokens += responseIds.length;
    return "taken";
  }

  /** See `GroupHome.takeBack`. */
  takeBack(groupId: number): void {
    const away = this.#away.get(groupId);
    if (!away?.isOut) return;
    away.isOut = false;
    this.#options.pool.restart(groupId);
    this.#unplaced.push({ groupId, task: undefined });
    this.#unplaced.sort((a, b) => a.groupId - b.groupId);
    this.offer();
  }

  /** See `GroupHome.offer`. */
  offer(): void {
    try {
      this.#place();
    } catch (error) {
      // for whoever admits next: nobody else can tell what it means
      this.#failure ??= { error };
      this.#options.desk.wake();
    }
  }

  /** Ends all that is under way, here and elsewhere. See {@link restart} for `drain`. */
  async close(drain: () => Promise<unknown>): Promise<void> {
    this.#unplaced = [];
    for (const groupId of this.#away.keys()) this.#options.elsewhere?.cancel(groupId);
    this.#away.clear();
    await this.#local.close(drain);
  }

  /** Has groups begun that wait for it, in their order, while somebody has room. */
  #place(): void {
    for (let [next] = this.#unplaced; next && this.#begin(next); [next] = this.#unplaced)
      this.#unplaced.shift();
  }

  #begin({ groupId, task }: Unplaced<Task>): boolean {
    const { pool, clock, groupTimeout, localGroups } = this.#options;
    const isHere = !localGroups || this.#local.size < localGroups();
    if (!isHere && !this.#handOut(groupId)) return false;
    // who plays it elsewhere keeps its time too, and what came of it by then has as long again to get here
    if (groupTimeout !== undefined)
      pool.limit(groupId, clock.now() + (isHere ? 1 : 2) * groupTimeout);
    if (isHere) this.#local.begin(groupId, task ?? this.#local.taskOf(groupId), pool);
    return true;
  }

  #handOut(groupId: number): boolean {
    const { scheduler, elsewhere } = this.#options;
    const { version } = scheduler;
    const attempt = this.#attempts + 1;
    if (!elsewhere?.dispatch({ groupId, attempt, version })) return false;
    this.#attempts = attempt;
    const first = this.#away.get(groupId) ?? { attempt, version };
    this.#away.set(groupId, { ...first, isOut: true });
    return true;
  }

  /** Errors    `argument_invalid` unless the group is what was asked for. */
  #check({ groupId, taskId, sessions }: PlayedGroup, { version }: Away): void {
    const expected = this.#local.taskIdOf(groupId, this.#local.taskOf(groupId));
    if (taskId !== expected) refuse("played group", "taskId", taskId, `it is "${expected}" here`);
    for (const { completions } of sessions)
      for (const { policyVersions } of completions)
        if (policyVersions[0] < version)
          refuse("played group", "policyVersions", policyVersions, `${version} was asked for`);
  }
}
