/** Episodes of a step as metrics: how they ended, what they asked, and what their tools did. */
import type { ToolCallStatus } from "../../agent/message.ts";
import type { Completion, SessionRecord } from "../../pool/record.ts";
import { zeroVarianceGroups } from "../../rl/reward/zero-variance.ts";
import { mean } from "../../rl/statistics.ts";
import type { RecordedEpisode } from "../episode/episodes.ts";
import { toolCallsOf } from "../episode/session-details.ts";
import type { Metrics } from "../run/metrics.ts";

/** How they went, whether they take part or not. */
export function rolloutMetrics(episodes: readonly RecordedEpisode[]): Metrics {
  const share = (is: (episode: RecordedEpisode) => boolean): number =>
    episodes.filter(is).length / Math.max(1, episodes.length);
  const lengths = episodes.map(({ steps }) => steps.reduce((sum, { tokens }) => sum + tokens, 0));
  const groups = episodes.map(({ group }) => group);
  const rewards = episodes.map(({ reward }) => reward);
  return {
    "rollout/success_rate": share(({ isSuccess }) => isSuccess),
    "rollout/truncated_rate": share(({ session }) => session.status === "truncated"),
    "rollout/error_rate": share(({ session }) => session.status.endsWith("_error")),
    "rollout/groups": new Set(groups).size,
    "rollout/zero_variance_groups": zeroVarianceGroups(rewards, groups).length,
    "rollout/forks": episodes.reduce((sum, { session }) => sum + forksOf(session), 0),
    "rollout/requests_mean": mean(episodes.map(({ steps }) => steps.length)),
    "rollout/response_length_mean": mean(lengths),
    "rollout/response_length_max": Math.max(0, ...lengths),
  };
}

/**
 * Requests that go on with no history as it was sampled, though their agent has asked before: it rewrote its context, or a
 * message came back otherwise than it was said. Each is a tree of its own from there on.
 */
function forksOf({ completions }: SessionRecord): number {
  const requests = [...completions].sort((a, b) => a.requestIndex - b.requestIndex);
  return requests.filter((request, k) => {
    const earlier = requests.slice(0, k);
    return (
      earlier.some(({ role }) => role === request.role) &&
      !earlier.some((one) => continues(request, one))
    );
  }).length;
}

/** Whether the prompt of a request begins with that of an earlier one and its answer. */
function continues(
  { promptIds }: Completion,
  { promptIds: prompt, responseIds: response }: Completion,
): boolean {
  if (prompt.length + response.length > promptIds.length) return false;
  // histories differ at their ends, if at all
  return (
    response.every((id, t) => id === promptIds[prompt.length + t]) &&
    prompt.every((id, t) => id === promptIds[t])
  );
}

const FAILED: readonly ToolCallStatus[] = ["error", "timeout"];
const MALFORMED: readonly ToolCallStatus[] = ["malformed", "invalid_input", "unknown_tool"];

/** What tools did for the agents that have some; shares are of all calls, and absent without one. */
export function toolMetrics(episodes: readonly RecordedEpisode[]): Metrics {
  const reports = episodes.flatMap(({ session }) => {
    const calls = toolCallsOf(session);
    return calls ? [calls] : [];
  });
  if (reports.length === 0) return {};
  const calls = reports.flat();
  const count = (statuses: readonly ToolCallStatus[]): number =>
    calls.filter(({ status }) => statuses.includes(status)).length;
  return {
    "tools/calls_mean": calls.length / reports.length,
    "tools/timeouts": count(["timeout"]),
    ...(calls.length > 0 && {
      "tools/error_rate": count(FAILED) / calls.length,
      "tools/malformed_rate": count(MALFORMED) / calls.length,
    }),
  };
}
