/** Groups and sessions while the pool waits for them, and the rules by which they are settled. */
import { ForgeError } from "../../engine/error.ts";
import {
  type Completion,
  type CompletionInput,
  completionOf,
  type GroupRecord,
  type RewardRecord,
  refuse,
  type SessionKey,
  type SessionRecord,
  type SessionStatus,
} from "./record.ts";

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

/** A session that the pool holds. */
export interface OpenSession extends SessionKey {
  readonly group: OpenGroup;
  completions: Completion[];
  rewards: RewardRecord[];
  /** Numbers of its requests, those that wait for room included. */
  readonly requests: Set<number>;
  /** Completions that wait for room. */
  waiting: number;
  status: SessionStatus | undefined;
  details: unknown;
  isSettled: boolean;
  startedAt: number;
  endedAt: number | undefined;
}

/** A group that the pool holds. */
export interface OpenGroup {
  readonly groupId: number;
  readonly taskId: string;
  readonly awaits: readonly string[];
  deadline: number | undefined;
  readonly sessions: OpenSession[];
  /** Calls the alarm of its deadline off. */
  callOff: () => void;
  /** Set when all its sessions are settled. */
  record: GroupRecord | undefined;
}

/** Id of a session: agents address the pool by it. */
export function sessionIdOf(groupId: number, sampleIndex: number): string {
  return `${groupId}-${sampleIndex}`;
}

/** A group whose sessions begin now. Errors: `argument_invalid`. */
export function openGroup(input: GroupInput, now: number): OpenGroup {
  const { groupId, taskId, sessions, awaits = ["outcome"], deadline } = input;
  if (!Number.isSafeInteger(sessions) || sessions < 1)
    refuse("group", "sessions", sessions, "it is a positive integer");
  if (deadline !== undefined) checkDeadline(deadline);
  const group: OpenGroup = {
    groupId,
    taskId,
    awaits: [...awaits],
    deadline,
    sessions: [],
    callOff: () => {},
    record: undefined,
  };
  for (let i = 0; i < sessions; i++) group.sessions.push(openSession(group, i, now));
  return group;
}

/** Errors    `argument_invalid` for what is no time. */
export function checkDeadline(deadline: number): void {
  if (!Number.isFinite(deadline)) refuse("group", "deadline", deadline, "it is a time");
}

export function openSession(group: OpenGroup, sampleIndex: number, now: number): OpenSession {
  const { groupId, taskId } = group;
  return {
    sessionId: sessionIdOf(groupId, sampleIndex),
    groupId,
    taskId,
    group,
    completions: [],
    rewards: [],
    requests: new Set(),
    waiting: 0,
    status: undefined,
    details: null,
    isSettled: false,
    startedAt: now,
    endedAt: undefined,
  };
}

/** Counts a request to a session, and gives its completion, which is to be stored. Errors: as `DataPool.add`. */
export function acceptCompletion(session: OpenSession, input: CompletionInput): Completion {
  const completion = completionOf(session, input);
  const { requestIndex, parent } = completion;
  if (session.requests.has(requestIndex))
    refuse("completion", "requestIndex", requestIndex, "the session has that request");
  if (parent !== null && !session.requests.has(parent))
    refuse("completion", "parent", parent, "the session has no such request");
  session.requests.add(requestIndex);
  return completion;
}

/** Adds a reward to a session unless it is there. Errors: as `DataPool.reward`. */
export function acceptReward(session: OpenSession, reward: RewardRecord): void {
  const { requestIndex, kind, name, value } = reward;
  if (requestIndex !== null && !session.requests.has(requestIndex))
    refuse("reward", "requestIndex", requestIndex, "the session has no such request");
  const there = session.rewards.find(
    (r) => r.requestIndex === requestIndex && r.kind === kind && r.name === name,
  );
  if (there && there.value !== value) {
    throw new ForgeError({
      code: "state_conflict",
      what: `pool: session "${session.sessionId}" has another reward "${name}".`,
      got: `${value}, after ${there.value}`,
      why: "which of them holds cannot be known",
      fix: "post each reward once, or give components names of their own",
    });
  }
  if (!there) session.rewards.push(reward);
}

/** Whether nothing more is to come: a session that failed is not waited for. */
export function isComplete(session: OpenSession): boolean {
  if (!session.status || session.waiting > 0) return false;
  return !isScored(session.status) || hasRewards(session);
}

function isScored(status: SessionStatus): boolean {
  return status === "completed" || status === "truncated";
}

/** Whether each awaited reward is there. */
function hasRewards({ group, rewards }: OpenSession): boolean {
  return group.awaits.every((name) => rewards.some((reward) => reward.name === name));
}

function takesPart(session: OpenSession): boolean {
  if (session.status === "infra_error" || session.status === "cancelled") return false;
  return session.rewards.length > 0 || hasRewards(session);
}

/** Once its sessions are all settled, a group gets its record, here and once, and needs no alarm any more. */
export function sealIfSettled(group: OpenGroup): GroupRecord | undefined {
  if (group.record || !group.sessions.every((session) => session.isSettled)) return undefined;
  group.callOff();
  group.record = recordOf(group);
  return group.record;
}

/** What is thrown at those who come after a session's end. */
export function ended(sessionId: string, what: string): ForgeError {
  return new ForgeError({
    code: "state_conflict",
    what: `pool: session "${sessionId}" takes no ${what} any more.`,
    why: "it has ended, or its deadline has passed",
    fix: "hand in what belongs to a session before its one end, and in time",
  });
}

function recordOf(group: OpenGroup): GroupRecord {
  const sessions = group.sessions.map((session): SessionRecord => {
    const {
      sessionId,
      groupId,
      taskId,
      status,
      completions,
      rewards,
      startedAt,
      endedAt,
      details,
    } = session;
    return {
      ...{ sessionId, groupId, taskId, completions, rewards, startedAt, details },
      status: status as SessionStatus,
      endedAt: endedAt as number,
      takesPart: takesPart(session),
    };
  });
  const isTrainable = sessions.some(
    (session) => session.takesPart && session.completions.some((c) => c.responseIds.length > 0),
  );
  return { groupId: group.groupId, taskId: group.taskId, sessions, isTrainable };
}
