/** How long an episode took by a clock of its own, whatever else the machine was doing. */
import type { SessionRecord } from "../../pool/record.ts";
import { criticalPath, type Span } from "../../rl/reward/virtual-clock.ts";

/** The pool's clock counts milliseconds, or readbacks in a deterministic run, whose tools take none. */
const MS = 1e-3;

/**
 * Length in seconds of the longest chain of requests and tools. A request waited for the latest answer that was there when it
 * was handed in, and what lies between is the time of a tool; those that overlap count once.
 */
export function virtualSeconds(session: SessionRecord, secondsPerToken: number): number {
  const requests = [...session.completions].sort((a, b) => a.submittedAt - b.submittedAt);
  const spans: Span[] = [];
  for (const { submittedAt, responseIds } of requests) {
    // spans come in pairs: what was before a request, and the request
    const cause = latestBefore(requests, submittedAt);
    const since = cause < 0 ? session.startedAt : (requests[cause]?.finishedAt ?? 0);
    const after = cause < 0 ? [] : [2 * cause + 1];
    spans.push({ after, seconds: MS * (submittedAt - since) });
    spans.push({ after: [spans.length - 1], tokens: responseIds.length });
  }
  const last = latestBefore(requests, session.endedAt);
  const since = last < 0 ? session.startedAt : (requests[last]?.finishedAt ?? 0);
  const after = last < 0 ? [] : [2 * last + 1];
  spans.push({ after, seconds: MS * Math.max(0, session.endedAt - since) });
  return criticalPath(spans, secondsPerToken);
}

/** Index of the request whose answer was the latest by a time; −1 without one. */
function latestBefore(requests: SessionRecord["completions"], time: number): number {
  let latest = -1;
  requests.forEach(({ submittedAt, finishedAt }, i) => {
    const isThere = finishedAt <= time && submittedAt < time;
    if (isThere && finishedAt >= (requests[latest]?.finishedAt ?? 0)) latest = i;
  });
  return latest;
}
