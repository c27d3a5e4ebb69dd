/** A node that plays groups for another one, which collects them. */
import { ForgeError } from "../../../engine/error.ts";
import { type Clock, wallClock } from "../../pool/clock.ts";
import { DataPool } from "../../pool/pool.ts";
import type { GroupRecord } from "../../pool/record.ts";
import type { Job } from "../episode/dispatcher.ts";
import { GroupPlayer, type GroupPlayerOptions, reasonOf } from "../episode/group-player.ts";
import type { Rollout } from "../episode/rollout.ts";
import type { JobSource } from "./job-source.ts";
import { type EncodedGroup, encodePlayedGroup } from "./played-group.ts";

/** Options of {@link Player}. */
export interface PlayerOptions<Task>
  extends Omit<GroupPlayerOptions<Task>, "language" | "desk" | "clock" | "onOver"> {
  readonly source: JobSource;
  /** Its sampler's `policyVersion` is set by whoever changes the weights. */
  readonly rollout: Rollout;
  /** Groups that are played at once. */
  readonly groups: number;
  /** How long a group may take, on the rollout's clock. Default: no end. */
  readonly groupTimeout?: number;
  /**
   * Fulfilled once `policyVersion` is that or more. Default: such groups begin with a later call of {@link Player.play}.
   */
  readonly whenVersion?: (version: number, signal: AbortSignal) => Promise<void>;
  /** How long it waits after a connection has failed, on `clock`. Default 1000, and the wall. */
  readonly retryMs?: number;
  readonly clock?: Clock;
}

/** A job that is not given yet. */
interface Held {
  readonly job: Job;
  isBegun: boolean;
}

/**
 * What it plays depends on seed, group, sample and weights alone, as where it is collected. A group has a pool of its own: groups
 * come in any order, and one may come again.
 */
export class Player<Task> {
  readonly #options: PlayerOptions<Task>;
  readonly #groups: GroupPlayer<Task>;
  readonly #clock: Clock;
  readonly #held = new Map<number, Held>();
  readonly #closing = new AbortController();
  /** Asks again, since its room or what it holds has changed. */
  #askAgain = (): void => {};
  #isPlaying = false;
  #isAwaiting = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: PlayerOptions<Task>) {
    const { rollout, clock = wallClock() } = options;
    this.#options = options;
    this.#clock = clock;
    const { language, desk } = rollout;
    this.#groups = new GroupPlayer({ ...options, language, desk, clock: rollout.clock });
  }

  /** Groups that are being played. */
  get playing(): number {
    return this.#groups.size;
  }

  /** Groups that it has: to be begun, under way, or on their way back. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * Asks for groups and plays them until the signal is aborted. What is under way then goes on with the next call, and what is
   * finished is handed in meanwhile.
   *
   * Errors    what a task or a component of the reward throws; those of the sampler; what the source refuses with;
   *           `state_conflict` when it plays already, or `whenVersion` is fulfilled too early.
   */
  async play(until: AbortSignal): Promise<void> {
    if (this.#isPlaying) throw conflict("it plays already", "wait for the earlier call");
    const { rollout } = this.#options;
    const stop = new AbortController();
    const signal = AbortSignal.any([until, this.#closing.signal, stop.signal]);
    this.#isPlaying = true;
    this.#beginReady();
    const asking = this.#ask(signal);
    try {
      while (!signal.aborted) {
        await rollout.rest(signal);
        this.#check();
        signal.throwIfAborted();
        await rollout.turn(signal);
      }
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    } finally {
      stop.abort();
      await asking;
      this.#isPlaying = false;
    }
  }

  /** Ends all that is under way; nothing is handed in any more. End {@link play} first. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#held.clear();
    await this.#groups.close(() => this.#options.rollout.drain());
  }

  /** Keeps one question out. */
  async #ask(signal: AbortSignal): Promise<void> {
    const { source, groups } = this.#options;
    while (!signal.aborted) {
      const again = new AbortController();
      this.#askAgain = () => again.abort();
      const room = Math.max(0, groups - this.#held.size);
      const holds = [...this.#held.values()].map(({ job }) => job);
      const either = AbortSignal.any([signal, again.signal]);
      try {
        const { jobs, cancelled } = await source.take({ room, holds: holds.map(named) }, either);
        for (const groupId of cancelled) this.#drop(groupId);
        for (const job of jobs) this.#accept(job);
      } catch (error) {
        if (either.aborted) continue;
        if (error instanceof ForgeError) return this.#fail(error);
        await this.#pause(signal);
      }
    }
  }

  #accept(job: Job): void {
    const { groupId, attempt } = job;
    // an answer that came twice
    if (this.#held.get(groupId)?.job.attempt === attempt) return;
    this.#drop(groupId);
    this.#held.set(groupId, { job, isBegun: false });
    this.#beginReady();
  }

  #drop(groupId: number): void {
    this.#held.delete(groupId);
    this.#groups.cancel(groupId);
  }

  /** Begins what the weights are new enough for, and waits for those that the rest needs. */
  #beginReady(): void {
    const { policyVersion } = this.#options.rollout.sampler;
    let needed = Number.POSITIVE_INFINITY;
    for (const held of this.#held.values()) {
      if (held.isBegun) continue;
      if (held.job.version <= policyVersion) this.#begin(held);
      else needed = Math.min(needed, held.job.version);
    }
    if (needed < Number.POSITIVE_INFINITY) void this.#awaitVersion(needed);
  }

  async #awaitVersion(version: number): Promise<void> {
    const { whenVersion, rollout } = this.#options;
    if (!whenVersion || this.#isAwaiting) return;
    this.#isAwaiting = true;
    try {
      await whenVersion(version, this.#closing.signal);
      if (rollout.sampler.policyVersion < version)
        throw conflict(`the weights are not of version ${version}`, "set policyVersion first");
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      this.#isAwaiting = false;
    }
    this.#beginReady();
  }

  #begin(held: Held): void {
    const { rollout, groupTimeout } = this.#options;
    const { clock } = rollout;
    const { groupId } = held.job;
    held.isBegun = true;
    const pool = new DataPool({
      // its only group is the oldest, for which there is always room
      capacityTokens: 1,
      clock,
      onFinished: (group) => this.#finish(held, group),
    });
    try {
      const task = this.#groups.taskOf(groupId);
      this.#groups.open(groupId, task, pool);
      if (groupTimeout !== undefined) pool.limit(groupId, clock.now() + groupTimeout);
      this.#groups.begin(groupId, task, pool);
    } catch (error) {
      this.#fail(error);
    }
  }

  #finish(held: Held, group: GroupRecord): void {
    const { groupId, attempt } = held.job;
    if (this.#held.get(groupId) !== held) return;
    if (group.sessions.some(({ status }) => status === "cancelled")) this.#groups.cancel(groupId);
    const error = this.#groups.takeAgentError();
    const text = error === undefined ? null : reasonOf(error);
    void this.#give(held, encodePlayedGroup(group, attempt, text));
  }

  async #give(held: Held, group: EncodedGroup): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#options.source.give(group, signal);
        break;
      } catch (error) {
        if (error instanceof ForgeError) return this.#fail(error);
        await this.#pause(signal);
      }
    }
    if (this.#held.get(group.groupId) === held) this.#held.delete(group.groupId);
    this.#askAgain();
  }

  /** Until it may try again, or the signal is aborted. */
  async #pause(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { retryMs = 1000 } = this.#options;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        callOff();
        signal.removeEventListener("abort", go);
        resolve();
      };
      const callOff = this.#clock.at(this.#clock.now() + retryMs, go);
      signal.addEventListener("abort", go, { once: true });
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#options.rollout.desk.wake();
  }

  #check(): void {
    const failure = this.#failure ?? this.#groups.failure;
    if (failure) throw failure.error;
  }
}

function named({ groupId, attempt }: Job): Pick<Job, "groupId" | "attempt"> {
  return { groupId, attempt };
}

function conflict(why: string, fix: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: "player: it cannot play.",
    why,
    fix,
  });
}
