/** The data pool: between agents, who produce at their own pace, and the trainer. */
import { ForgeError } from "../../engine/error.ts";
import { type Clock, wallClock } from "./clock.ts";
import { GroupTable } from "./group-table.ts";
import {
  acceptCompletion,
  acceptReward,
  checkDeadline,
  ended,
  type GroupInput,
  isComplete,
  type OpenGroup,
  type OpenSession,
  openSession,
  sealIfSettled,
} from "./open-group.ts";
import { type PlayedSession, settledSession } from "./played-session.ts";
import { checkPoolSnapshot, groupSnapshot, type PoolSnapshot, readGroup } from "./pool-snapshot.ts";
import {
  type CompletionInput,
  checkStatus,
  detailsOf,
  type GroupRecord,
  type RewardInput,
  refuse,
  rewardOf,
  type SessionStatus,
} from "./record.ts";
import { Room } from "./room.ts";

/** How a {@link DataPool} is made. */
export interface DataPoolOptions {
  /** Tokens it holds before producers wait. The oldest group is let in beyond it, or nothing would ever be finished. */
  readonly capacityTokens: number;
  /** Default: the wall. */
  readonly clock?: Clock;
  /** Called with each group once, when its last session is settled. The pool has let go of one that is not trainable. */
  readonly onFinished?: (group: GroupRecord) => void;
}

/**
 * Completions and rewards come in session by session, in any order and late; groups come out whole. A session is
 * settled when it has ended and its rewards are in, or at its group's deadline, or at once when it failed. What was
 * acknowledged stays until its group is taken, or is found to have nothing to train on.
 *
 * A session takes part unless it is `infra_error` or `cancelled`, or has none of the rewards that it was to have:
 * a missing reward is never a 0.
 */
export class DataPool {
  readonly #clock: Clock;
  readonly #onFinished: ((group: GroupRecord) => void) | undefined;
  readonly #groups = new GroupTable();
  readonly #room: Room;
  #lateRewards = 0;

  /** Errors    `argument_invalid`. */
  constructor(options: DataPoolOptions) {
    const { capacityTokens, clock = wallClock(), onFinished } = options;
    this.#room = new Room(capacityTokens, this.#groups);
    this.#clock = clock;
    this.#onFinished = onFinished;
  }

  /**
   * A pool that holds what another held. Completions that waited for room were not acknowledged and are not there;
   * groups in {@link unfinished} have lost their agents and are to be restarted.
   *
   * Errors    `checkpoint_invalid`.
   */
  static restore(options: DataPoolOptions, snapshot: PoolSnapshot): DataPool {
    checkPoolSnapshot(snapshot);
    const pool = new DataPool(options);
    const shift = pool.#clock.now() - snapshot.now;
    for (const was of snapshot.groups) {
      const group = readGroup(was, shift, (input) => pool.#open(input));
      for (const session of group.sessions) pool.#room.occupy(session);
    }
    pool.#groups.next = snapshot.nextGroup;
    pool.#lateRewards = snapshot.lateRewards;
    return pool;
  }

  /** Tokens it holds before producers wait. */
  get capacityTokens(): number {
    return this.#room.capacityTokens;
  }

  /** What it holds. `waiting` producers have completions that are not acknowledged yet. */
  get stats(): Readonly<Record<"groups" | "tokens" | "waiting" | "lateRewards", number>> {
    return {
      groups: this.#groups.size,
      tokens: this.#room.tokens,
      waiting: this.#room.waiting,
      lateRewards: this.#lateRewards,
    };
  }

  /** Ids of groups with sessions that are not settled, ascending. */
  get unfinished(): readonly number[] {
    return [...this.#groups].filter((g) => !g.record).map((g) => g.groupId);
  }

  /** Opens a group and gives the ids of its sessions. Errors: `argument_invalid`. */
  open(input: GroupInput): readonly string[] {
    return this.#open(input).sessions.map((session) => session.sessionId);
  }

  /**
   * Hands in a completion. Once the promise is fulfilled it is acknowledged; until then there was no room.
   *
   * Errors    `argument_invalid`; `non_finite`; `state_conflict` when the session has ended, also while waiting.
   */
  async add(sessionId: string, input: CompletionInput, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const session = this.#groups.session(sessionId);
    if (!session || session.status) throw ended(sessionId, "completion");
    const completion = acceptCompletion(session, input);
    const parcel = { session, completion };
    if (this.#room.store(parcel)) return;
    session.waiting++;
    try {
      await this.#room.wait(parcel, signal);
    } catch (error) {
      // aborted: as if it had never been handed in
      session.requests.delete(completion.requestIndex);
      if (session.waiting > 0 && !session.isSettled) this.#left(session);
      throw error;
    }
  }

  /**
   * Posts a reward, also after the session's end. False when the session is settled: it came too late to count. The
   * same reward posted again is one reward.
   *
   * Errors    `argument_invalid`; `non_finite`; `state_conflict` for another value of a reward that is there.
   */
  reward(sessionId: string, input: RewardInput): boolean {
    const session = this.#groups.session(sessionId);
    const reward = rewardOf(sessionId, input);
    if (!session || session.isSettled) {
      this.#lateRewards++;
      return false;
    }
    acceptReward(session, reward);
    this.#settleIfComplete(session);
    return true;
  }

  /**
   * Ends a session. One that failed in the infrastructure or was cancelled is settled at once, and so is one whose
   * agent failed, with the rewards that it has by then; its completions that wait for room are refused.
   *
   * Errors    `argument_invalid`; `state_conflict` when it has ended.
   *
   * @param details plain JSON, kept with the session
   */
  end(sessionId: string, status: SessionStatus, details: unknown = null): void {
    checkStatus(status);
    const session = this.#groups.session(sessionId);
    if (!session || session.status) throw ended(sessionId, "status");
    session.details = detailsOf(sessionId, details);
    this.#close(session, status);
    this.#settleIfComplete(session);
  }

  /**
   * Finishes a group with what was made of it elsewhere: all of it or, where something is wrong, nothing. What was handed in
   * here makes way. It is taken in beyond the capacity: it is made already, and producers wait for as long.
   *
   * Errors    `argument_invalid`; `non_finite`; `state_conflict` unless the group is unfinished.
   */
  adopt(groupId: number, played: readonly PlayedSession[]): void {
    const group = this.#unfinished(groupId, "be taken over");
    if (played.length !== group.sessions.length)
      refuse("group", "sessions", played.length, `group ${groupId} has ${group.sessions.length}`);
    const settled = played.map((session, i) => settledSession(group, i, session));
    for (const [i, session] of settled.entries()) {
      const before = group.sessions[i] as OpenSession;
      this.#room.turnAway(before);
      before.waiting = 0;
      this.#room.free(before);
      group.sessions[i] = session;
      this.#room.occupy(session);
    }
    this.#finishIfSettled(group);
  }

  /**
   * Sets when the pool stops waiting for a group, in place of the deadline that it had.
   *
   * Errors    `argument_invalid`; `state_conflict` unless the group is unfinished.
   */
  limit(groupId: number, deadline: number): void {
    checkDeadline(deadline);
    const group = this.#unfinished(groupId, "have a deadline");
    group.callOff();
    group.deadline = deadline;
    this.#arm(group);
  }

  /** The record of a finished group, which leaves the pool. Errors: `state_conflict` unless it is finished and here. */
  take(groupId: number): GroupRecord {
    const group = this.#groups.get(groupId);
    if (group?.record) {
      this.#remove(group);
      this.#serve();
      return group.record;
    }
    const fix = "take a group once, after onFinished has named it and found it trainable";
    throw conflict(groupId, "be taken", group && "it is not finished", fix);
  }

  /**
   * Begins an unfinished group again, with nothing but the same sessions: its agents are gone, since the run was stopped or
   * their node was.
   *
   * Errors    `state_conflict` unless it is unfinished and no completion of it waits.
   */
  restart(groupId: number, deadline?: number): readonly string[] {
    const group = this.#groups.get(groupId);
    if (!group || group.record || group.sessions.some((session) => session.waiting > 0)) {
      const why = group && "it is finished, or its agents are at work";
      throw conflict(groupId, "begin again", why, "restart the groups in `unfinished`");
    }
    for (const [i, session] of group.sessions.entries()) {
      this.#room.free(session);
      group.sessions[i] = openSession(group, i, this.#clock.now());
    }
    group.callOff();
    group.deadline = deadline;
    this.#arm(group);
    this.#serve();
    return group.sessions.map((session) => session.sessionId);
  }

  /** All that was acknowledged, as plain JSON. */
  snapshot(): PoolSnapshot {
    return {
      format: 1,
      now: this.#clock.now(),
      nextGroup: this.#groups.next,
      lateRewards: this.#lateRewards,
      groups: [...this.#groups].map(groupSnapshot),
    };
  }

  #unfinished(groupId: number, what: string): OpenGroup {
    const group = this.#groups.get(groupId);
    if (group && !group.record) return group;
    throw conflict(groupId, what, group && "it is finished", "choose one in `unfinished`");
  }

  #open(input: GroupInput): OpenGroup {
    const group = this.#groups.open(input, this.#clock.now());
    this.#arm(group);
    return group;
  }

  /** Lets in whom there is room for, and settles what only waited for that. */
  #serve(): void {
    for (const session of this.#room.letIn()) this.#left(session);
  }

  #left(session: OpenSession): void {
    session.waiting--;
    this.#settleIfComplete(session);
  }

  #arm(group: OpenGroup): void {
    if (group.deadline !== undefined)
      group.callOff = this.#clock.at(group.deadline, () => this.#expire(group));
  }

  #expire(group: OpenGroup): void {
    for (const session of group.sessions) {
      if (!session.status || session.waiting > 0) this.#close(session, "cancelled");
      session.isSettled = true;
    }
    this.#finishIfSettled(group);
  }

  #close(session: OpenSession, status: SessionStatus): void {
    session.status = status;
    session.endedAt = this.#clock.now();
    if (status === "completed" || status === "truncated") return;
    this.#room.turnAway(session);
    // their producers hear of it later; what is settled here is settled now
    session.waiting = 0;
  }

  #settleIfComplete(session: OpenSession): void {
    if (session.isSettled || !isComplete(session)) return;
    session.isSettled = true;
    this.#finishIfSettled(session.group);
  }

  #finishIfSettled(group: OpenGroup): void {
    const record = sealIfSettled(group);
    if (!record) return;
    if (!record.isTrainable) this.#remove(group);
    this.#onFinished?.(record);
    this.#serve();
  }

  #remove(group: OpenGroup): void {
    group.callOff();
    this.#groups.delete(group.groupId);
    for (const session of group.sessions) this.#room.free(session);
  }
}

/** @param why undefined where the pool has no such group */
function conflict(groupId: number, what: string, why: string | undefined, fix: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `pool: group ${groupId} cannot ${what}.`,
    why: why ?? "it is not in the pool",
    fix,
  });
}
