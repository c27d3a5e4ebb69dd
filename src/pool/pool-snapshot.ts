/** What a pool looks like in a checkpoint: plain JSON, arrays of numbers as base64 of their little-endian bytes. */
import { ForgeError } from "../../engine/error.ts";
import { fromBase64, toBase64 } from "./base64.ts";
import {
  type GroupInput,
  isComplete,
  type OpenGroup,
  type OpenSession,
  sealIfSettled,
} from "./open-group.ts";
import {
  type Completion,
  completionOf,
  type RewardRecord,
  rewardOf,
  type SessionKey,
  type SessionStatus,
  STATUSES,
} from "./record.ts";

/** A completion in a checkpoint. */
type CompletionSnapshot = Omit<
  Completion,
  keyof SessionKey | "promptIds" | "responseIds" | "behaviorLogprobs"
> &
  Readonly<Record<"promptIds" | "responseIds" | "behaviorLogprobs", string>>;

/** A session in a checkpoint. */
export interface SessionSnapshot {
  readonly status: SessionStatus | null;
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** Absent in checkpoints of before there were any. */
  readonly details?: unknown;
  /** Also without its rewards, after a deadline. Absent where it follows from the rest. */
  readonly isSettled?: true;
  readonly completions: readonly CompletionSnapshot[];
  readonly rewards: readonly RewardRecord[];
}

/** A group in a checkpoint. */
interface GroupSnapshot {
  readonly groupId: number;
  readonly taskId: string;
  readonly awaits: readonly string[];
  readonly deadline: number | null;
  readonly sessions: readonly SessionSnapshot[];
}

/** A `DataPool` as plain JSON. */
export interface PoolSnapshot {
  readonly format: 1;
  /** The clock when it was written: what is left of a deadline is left after resuming. */
  readonly now: number;
  readonly nextGroup: number;
  readonly lateRewards: number;
  readonly groups: readonly GroupSnapshot[];
}

/** What was acknowledged of a group. */
export function groupSnapshot(group: OpenGroup): GroupSnapshot {
  const { groupId, taskId, awaits, deadline = null, sessions } = group;
  return { groupId, taskId, awaits, deadline, sessions: sessions.map(sessionSnapshot) };
}

function sessionSnapshot(session: OpenSession): SessionSnapshot {
  const { status = null, startedAt, endedAt = null, details, completions, rewards } = session;
  // what waits for room is lost, and a session without it has not ended
  const end =
    session.waiting > 0
      ? { status: null, endedAt: null, details: null }
      : { status, endedAt, details };
  return {
    status: end.status,
    startedAt,
    endedAt: end.endedAt,
    details: end.details,
    ...(session.isSettled && !isComplete(session) && { isSettled: true as const }),
    completions: completions.map(completionSnapshot),
    rewards: [...rewards],
  };
}

function completionSnapshot(completion: Completion): CompletionSnapshot {
  const { sessionId, groupId, taskId, ...rest } = completion;
  return {
    ...rest,
    promptIds: toBase64(rest.promptIds),
    responseIds: toBase64(rest.responseIds),
    behaviorLogprobs: toBase64(rest.behaviorLogprobs),
  };
}

/** Errors    `checkpoint_invalid` for what is no snapshot of a pool. */
export function checkPoolSnapshot(snapshot: PoolSnapshot): void {
  if (snapshot?.format !== 1 || !Array.isArray(snapshot.groups))
    invalid("the checkpoint is of no known format", snapshot?.format);
}

/**
 * A group as `open` gives it, filled with what it had; `shift` takes the times from the clock of then to that of now.
 *
 * Errors    `checkpoint_invalid`.
 */
export function readGroup(
  snapshot: GroupSnapshot,
  shift: number,
  open: (input: GroupInput) => OpenGroup,
): OpenGroup {
  const { groupId, taskId, awaits, deadline, sessions } = snapshot;
  const group = reading(`group ${groupId}`, () =>
    open({
      ...{ groupId, taskId, awaits, sessions: sessions.length },
      ...(deadline !== null && { deadline: deadline + shift }),
    }),
  );
  for (const [i, session] of group.sessions.entries())
    reading(`session "${session.sessionId}"`, () =>
      fill(session, sessions[i] as SessionSnapshot, shift),
    );
  sealIfSettled(group);
  return group;
}

function fill(session: OpenSession, snapshot: SessionSnapshot, shift: number): void {
  const { status, startedAt, endedAt, details = null, isSettled = false } = snapshot;
  const { completions, rewards } = snapshot;
  if (status !== null && !STATUSES.includes(status)) throw new TypeError(`no status: ${status}`);
  session.completions = completions.map((completion) => readCompletion(session, completion));
  for (const { requestIndex } of completions) session.requests.add(requestIndex);
  session.rewards = rewards.map((reward) => rewardOf(session.sessionId, reward));
  session.startedAt = startedAt + shift;
  session.status = status ?? undefined;
  session.endedAt = endedAt === null ? undefined : endedAt + shift;
  session.details = details;
  session.isSettled = isSettled || isComplete(session);
}

function readCompletion(key: SessionKey, snapshot: CompletionSnapshot): Completion {
  return completionOf(key, {
    ...snapshot,
    promptIds: new Uint32Array(fromBase64(snapshot.promptIds)),
    responseIds: new Uint32Array(fromBase64(snapshot.responseIds)),
    behaviorLogprobs: new Float32Array(fromBase64(snapshot.behaviorLogprobs)),
  });
}

function reading<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    return invalid(`${what} cannot be read`, cause);
  }
}

function invalid(what: string, cause: unknown): never {
  throw new ForgeError({
    code: "checkpoint_invalid",
    what: `pool: ${what}.`,
    got: cause instanceof Error ? cause.message : String(cause),
    fix: "resume from another checkpoint",
    cause,
  });
}
