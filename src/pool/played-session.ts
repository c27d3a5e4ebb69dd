/** Sessions that were played where the pool is not, and come to it whole. */
import {
  acceptCompletion,
  acceptReward,
  type OpenGroup,
  type OpenSession,
  openSession,
} from "./open-group.ts";
import {
  type CompletionInput,
  checkFinite,
  checkStatus,
  detailsOf,
  type RewardInput,
  refuse,
  rewardOf,
  type SessionStatus,
} from "./record.ts";

/** What was made of a session elsewhere. Nothing of it is to come any more. */
export interface PlayedSession {
  readonly status: SessionStatus;
  /** In the order in which they were acknowledged. */
  readonly completions: readonly CompletionInput[];
  readonly rewards: readonly RewardInput[];
  /** Plain JSON; `null` for nothing. */
  readonly details: unknown;
  /** On the clock of where it was played, as all times of its completions are. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/**
 * The session of a group that this makes: settled, also where a deadline has passed there before its rewards were in.
 *
 * Errors    `argument_invalid`; `non_finite`; `state_conflict` for two values of one reward.
 */
export function settledSession(
  group: OpenGroup,
  sampleIndex: number,
  { status, completions, rewards, details, startedAt, endedAt }: PlayedSession,
): OpenSession {
  const session = openSession(group, sampleIndex, startedAt);
  const { sessionId } = session;
  const what = `end of session "${sessionId}"`;
  checkStatus(status);
  checkFinite(what, "startedAt", startedAt);
  checkFinite(what, "endedAt", endedAt);
  if (endedAt < startedAt) refuse(what, "endedAt", endedAt, `it was begun at ${startedAt}`);
  for (const input of completions) session.completions.push(acceptCompletion(session, input));
  for (const input of rewards) acceptReward(session, rewardOf(sessionId, input));
  session.details = detailsOf(sessionId, details);
  session.status = status;
  session.endedAt = endedAt;
  session.isSettled = true;
  return session;
}
