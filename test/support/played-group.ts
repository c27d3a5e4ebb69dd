/** Groups as players hand them in. */
import type { PlayedSession } from "../../src/pool/played-session.ts";
import type { CompletionInput } from "../../src/pool/record.ts";
import type { PlayedGroup } from "../../src/train/cluster/played-group.ts";
import type { Job } from "../../src/train/episode/dispatcher.ts";

/** A request with an answer of two tokens. */
export function playedRequest(change: Partial<CompletionInput> = {}): CompletionInput {
  return {
    ...{ requestIndex: 0, parent: null, role: "main", finishReason: "stop" },
    ...{ promptIds: [1, 2, 3], responseIds: [4, 5], behaviorLogprobs: [-0.1, -2.5] },
    ...{ policyVersions: [0, 0], submittedAt: 1, finishedAt: 2 },
    sampling: { temperature: 1, topK: 0, topP: 1, minP: 0 },
    ...change,
  };
}

/** An episode of one request that was a success. */
export function playedSession(change: Partial<PlayedSession> = {}): PlayedSession {
  return {
    ...{ status: "completed", completions: [playedRequest()], details: null },
    rewards: [{ requestIndex: null, kind: "outcome", name: "success", value: 1 }],
    ...{ startedAt: 0, endedAt: 3 },
    ...change,
  };
}

/** What comes of a job where each of the sessions goes well. */
export function playedGroup(
  { groupId, attempt, version }: Job,
  change: Partial<PlayedGroup> = {},
): PlayedGroup {
  const completions = [playedRequest({ policyVersions: [version, version] })];
  const sessions = [playedSession({ completions }), playedSession({ completions })];
  return { groupId, attempt, taskId: `task ${groupId}`, sessions, agentError: null, ...change };
}
