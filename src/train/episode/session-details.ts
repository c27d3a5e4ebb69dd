/** What the pool keeps of an episode beside its requests and rewards. */
import type { ToolCallRecord } from "../../agent/message.ts";
import type { SessionRecord } from "../../pool/record.ts";

/** Plain JSON. */
interface SessionDetails {
  /** Calls of tools, in the order in which they ended. */
  readonly toolCalls: readonly ToolCallRecord[];
}

/**
 * Details of an episode that has ended, for the pool; `null` of an agent that has no tools to report on. A pure environment
 * may be played again bit for bit, so its calls do not say how long they took by the wall.
 */
export function sessionDetails(
  details: SessionDetails | undefined,
  { isPure }: { readonly isPure: boolean },
): SessionDetails | null {
  if (!details) return null;
  const { toolCalls } = details;
  return { toolCalls: isPure ? toolCalls.map((call) => ({ ...call, ms: 0 })) : toolCalls };
}

/** Calls of tools in a session; undefined where its agent reports none. */
export function toolCallsOf({
  details,
}: Pick<SessionRecord, "details">): readonly ToolCallRecord[] | undefined {
  return (details as Partial<SessionDetails> | null)?.toolCalls;
}
