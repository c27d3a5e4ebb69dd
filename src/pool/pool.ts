/** The data pool: between agents, who produce at their own pace, and the trainer. */
import { ForgeError } from "../../engine/error.ts";
import { type Clock, wallClock } from "./clock.ts";
import { isComplete, type OpenGroup, type OpenSession, openSession, seal } from "./open-group.ts";
import { completionSnapshot, invalid, type PoolSnapshot, readSession } from "./pool-snapshot.ts";
import {
  type Completion,
  type CompletionInput,
  completionOf,
  type GroupRecord,
  type RewardInput,
  refuse,
  rewardOf,
  type SessionStatus,
  STATUSES,
  tokensOf,
} from "./record.ts";
import { WaitingLine } from "./waiting-line.ts";

/** How a {@link DataPool} is made. */
export interface DataPoolOptions {
  /** Tokens it holds before producers wait. The oldest group is let in beyond it, or nothing would ever be finished. */
  readonly capacityTokens: number;
  /** Default: the wall. */
  readonly clock?: Clock;
  /** Called with each group once, when its last session is settled. The pool has let go of one that is not trainable. */
  readonly onFinished?: (group: GroupRecord) => void;
}

/** A group to be opened. */
export interface GroupInput {
  /** The scheduler's number of it; above those opened before. */
  readonly groupId: number;
  readonly taskId: string;
  /** How many sessions. */
  readonly sessions: number;
  /** Names of the rewards that a session must have before it may be trained on. Default: "outcome". */
  readonly awaits?: readonly string[];
  /** When the pool stops waiting for its sessions and their rewards, on its clock. Default: never. */
  readonly deadline?: number;
}

interface Parcel {
  readonly session: OpenSession;
  readonly completion: Completion;
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
  readonly capacityTokens: number;
  readonly #clock: Clock;
  readonly #onFinished: ((group: GroupRecord) => void) | undefined;
  /** By ascending id. */
  readonly #groups = new Map<number, OpenGroup>();
  readonly #line = new WaitingLine<Parcel, void>();
  #nextGroup = 0;
  #tokens = 0;
  #lateRewards = 0;

  /** Errors    `argument_invalid`. */
  constructor(options: DataPoolOptions) {
    const { capacityTokens, clock = wallClock(), onFinished } = options;
    if (!Number.isSafeInteger(capacityTokens) || capacityTokens < 1)
      refuse("pool", "capacityTokens", capacityTokens, "it is a positive integer");
    this.capacityTokens = capacityTokens;
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
    if (snapshot?.format !== 1 || !Array.isArray(snapshot.groups))
      invalid("the checkpoint is of no known format", snapshot?.format);
    const pool = new DataPool(options);
    const shift = pool.#clock.now() - snapshot.now;
    for (const group of snapshot.groups) {
      const { groupId, taskId, awaits, deadline, sessions } = group;
      try {
        pool.open({
          ...{ groupId, taskId, awaits, sessions: sessions.length },
          ...(deadline !== null && { deadline: deadline + shift }),
        });
      } catch (cause) {
        invalid(`group ${groupId} cannot be read`, cause);
      }
    }
    for (const { groupId, sessions } of snapshot.groups) {
      const group = pool.#groups.get(groupId) as OpenGroup;
      for (const [i, was] of sessions.entries()) {
        const session = group.sessions[i] as OpenSession;
        const { completions, rewards } = readSession(session, was);
        for (const completion of completions) pool.#store(session, completion);
        for (const { requestIndex } of completions) session.requests.add(requestIndex);
        session.rewards.push(...rewards);
        session.startedAt = was.startedAt + shift;
        session.status = was.status ?? undefined;
        session.endedAt = was.endedAt === null ? undefined : was.endedAt + shift;
        session.isSettled = isComplete(session);
      }
      if (group.sessions.every((session) => session.isSettled)) {
        group.callOff();
        group.record = seal(group);
      }
    }
    pool.#nextGroup = snapshot.nextGroup;
    pool.#lateRewards = snapshot.lateRewards;
    return pool;
  }

  /** What it holds. `waiting` producers have completions that are not acknowledged yet. */
  get stats(): Readonly<Record<"groups" | "tokens" | "waiting" | "lateRewards", number>> {
    return {
      groups: this.#groups.size,
      tokens: this.#tokens,
      waiting: this.#line.size,
      lateRewards: this.#lateRewards,
    };
  }

  /** Ids of groups with sessions that are not settled, ascending. */
  get unfinished(): readonly number[] {
    return [...this.#groups.values()].filter((g) => !g.record).map((g) => g.groupId);
  }

  /** Opens a group and gives the ids of its sessions. Errors: `argument_invalid`. */
  open(input: GroupInput): readonly string[] {
    const { groupId, taskId, sessions, awaits = ["outcome"], deadline } = input;
    if (!Number.isSafeInteger(groupId) || groupId < this.#nextGroup)
      refuse("group", "groupId", groupId, `it is an integer from ${this.#nextGroup} on`);
    if (!Number.isSafeInteger(sessions) || sessions < 1)
      refuse("group", "sessions", sessions, "it is a positive integer");
    if (deadline !== undefined && !Number.isFinite(deadline))
      refuse("group", "deadline", deadline, "it is a time");
    this.#nextGroup = groupId + 1;
    const group: OpenGroup = {
      groupId,
      taskId,
      awaits: [...awaits],
      deadline,
      sessions: [],
      callOff: () => {},
      record: undefined,
    };
    for (let i = 0; i < sessions; i++)
      group.sessions.push(openSession(group, i, this.#clock.now()));
    this.#groups.set(groupId, group);
    this.#arm(group);
    return group.sessions.map((session) => session.sessionId);
  }

  /**
   * Hands in a completion. Once the promise is fulfilled it is acknowledged; until then there was no room.
   *
   * Errors    `argument_invalid`; `non_finite`; `state_conflict` when the session has ended, also while waiting.
   */
  async add(sessionId: string, input: CompletionInput, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const session = this.#session(sessionId);
    if (!session || session.status) throw ended(sessionId, "completion");
    const completion = completionOf(session, input);
    const { requestIndex, parent } = completion;
    if (session.requests.has(requestIndex))
      refuse("completion", "requestIndex", requestIndex, "the session has that request");
    if (parent !== null && !session.requests.has(parent))
      refuse("completion", "parent", parent, "the session has no such request");
    session.requests.add(requestIndex);
    if (this.#hasRoom(session, completion, this.#line.size > 0)) {
      this.#store(session, completion);
      return;
    }
    session.waiting++;
    try {
      await this.#line.wait({ session, completion }, signal);
    } catch (error) {
      // aborted: as if it had never been handed in
      session.requests.delete(requestIndex);
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
    const session = this.#session(sessionId);
    const reward = rewardOf(sessionId, input);
    if (!session || session.isSettled) {
      this.#lateRewards++;
      return false;
    }
    const { requestIndex, kind, name, value } = reward;
    if (requestIndex !== null && !session.requests.has(requestIndex))
      refuse("reward", "requestIndex", requestIndex, "the session has no such request");
    const there = session.rewards.find(
      (r) => r.requestIndex === requestIndex && r.kind === kind && r.name === name,
    );
    if (there && there.value !== value) {
      throw new ForgeError({
        code: "state_conflict",
        what: `pool: session "${sessionId}" has another reward "${name}".`,
        got: `${value}, after ${there.value}`,
        why: "which of them holds cannot be known",
        fix: "post each reward once, or give components names of their own",
      });
    }
    if (!there) session.rewards.push(reward);
    this.#settleIfComplete(session);
    return true;
  }

  /**
   * Ends a session. One that failed in the infrastructure or was cancelled is settled at once, and so is one whose
   * agent failed, with the rewards that it has by then; its completions that wait for room are refused.
   *
   * Errors    `argument_invalid`; `state_conflict` when it has ended.
   */
  end(sessionId: string, status: SessionStatus): void {
    if (!STATUSES.includes(status)) refuse("session", "status", status, STATUSES.join(", "));
    const session = this.#session(sessionId);
    if (!session || session.status) throw ended(sessionId, "status");
    this.#close(session, status);
    this.#settleIfComplete(session);
  }

  /** The record of a finished group, which leaves the pool. Errors: `state_conflict` unless it is finished and here. */
  take(groupId: number): GroupRecord {
    const group = this.#groups.get(groupId);
    if (group?.record) {
      this.#remove(group);
      this.#serve();
      return group.record;
    }
    throw new ForgeError({
      code: "state_conflict",
      what: `pool: group ${groupId} cannot be taken.`,
      why: group ? "it is not finished" : "it is not in the pool",
      fix: "take a group once, after onFinished has named it and found it trainable",
    });
  }

  /**
   * Begins an unfinished group again, with nothing but the same sessions: its agents are gone since the run was
   * stopped.
   *
   * Errors    `state_conflict` unless it is unfinished and no completion of it waits.
   */
  restart(groupId: number, deadline?: number): readonly string[] {
    const group = this.#groups.get(groupId);
    if (!group || group.record || group.sessions.some((session) => session.waiting > 0)) {
      throw new ForgeError({
        code: "state_conflict",
        what: `pool: group ${groupId} cannot begin again.`,
        why: group ? "it is finished, or its agents are at work" : "it is not in the pool",
        fix: "restart the groups in `unfinished`, right after a restore",
      });
    }
    for (const [i, session] of group.sessions.entries()) {
      this.#free(session);
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
      nextGroup: this.#nextGroup,
      lateRewards: this.#lateRewards,
      groups: [...this.#groups.values()].map(({ groupId, taskId, awaits, deadline, sessions }) => ({
        groupId,
        taskId,
        awaits,
        deadline: deadline ?? null,
        sessions: sessions.map((session) => ({
          // what waits for room is lost, and a session without it has not ended
          status: session.waiting > 0 ? null : (session.status ?? null),
          startedAt: session.startedAt,
          endedAt: session.waiting > 0 ? null : (session.endedAt ?? null),
          completions: session.completions.map(completionSnapshot),
          rewards: session.rewards,
        })),
      })),
    };
  }

  /** Undefined when its group has left the pool. */
  #session(sessionId: string): OpenSession | undefined {
    const [, groupId, sampleIndex] = /^(0|[1-9]\d*)-(0|[1-9]\d*)$/.exec(sessionId) ?? [];
    const group = this.#groups.get(Number(groupId));
    const session = group?.sessions[Number(sampleIndex)];
    if (!session && (group || !(Number(groupId) < this.#nextGroup)))
      refuse("pool", "sessionId", sessionId, "the pool has opened no such session");
    return session;
  }

  #hasRoom(session: OpenSession, completion: Completion, isBehind: boolean): boolean {
    const [oldest] = this.#groups.values();
    if (session.group === oldest) return true;
    return !isBehind && this.#tokens + tokensOf(completion) <= this.capacityTokens;
  }

  #store(session: OpenSession, completion: Completion): void {
    session.completions.push(completion);
    this.#tokens += tokensOf(completion);
  }

  #free(session: OpenSession): void {
    for (const completion of session.completions) this.#tokens -= tokensOf(completion);
  }

  /** Lets in whom there is room for: in the order of the line, the oldest group before all. */
  #serve(): void {
    let isBehind = false;
    for (const waiter of this.#line) {
      const { session, completion } = waiter.item;
      if (this.#hasRoom(session, completion, isBehind)) {
        this.#store(session, completion);
        waiter.resolve();
        this.#left(session);
      } else isBehind = true;
    }
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
    for (const waiter of this.#line)
      if (waiter.item.session === session) waiter.reject(ended(session.sessionId, "completion"));
    // their producers hear of it later; what is settled here is settled now
    session.waiting = 0;
  }

  #settleIfComplete(session: OpenSession): void {
    if (session.isSettled || !isComplete(session)) return;
    session.isSettled = true;
    this.#finishIfSettled(session.group);
  }

  #finishIfSettled(group: OpenGroup): void {
    if (group.record || !group.sessions.every((session) => session.isSettled)) return;
    group.callOff();
    group.record = seal(group);
    if (!group.record.isTrainable) this.#remove(group);
    this.#onFinished?.(group.record);
    this.#serve();
  }

  #remove(group: OpenGroup): void {
    group.callOff();
    this.#groups.delete(group.groupId);
    for (const session of group.sessions) this.#free(session);
  }
}

function ended(sessionId: string, what: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `pool: session "${sessionId}" takes no ${what} any more.`,
    why: "it has ended, or its deadline has passed",
    fix: "hand in what belongs to a session before its one end, and in time",
  });
}
