/** Groups and sessions while the pool waits for them, and the rules by which they are settled. */
import type {
  Completion,
  GroupRecord,
  RewardRecord,
  SessionKey,
  SessionRecord,
  SessionStatus,
} from "./record.ts";

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
    isSettled: false,
    startedAt: now,
    endedAt: undefined,
  };
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

/** The record of a group whose sessions are all settled. */
export function seal(group: OpenGroup): GroupRecord {
  const sessions = group.sessions.map((session): SessionRecord => {
    const { sessionId, groupId, taskId, status, completions, rewards, startedAt, endedAt } =
      session;
    return {
      ...{ sessionId, groupId, taskId, completions, rewards, startedAt },
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
