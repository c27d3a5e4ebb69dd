/** The time that an episode takes by itself, whatever else the machine is doing. */
import { ForgeError } from "../../../engine/error.ts";
import { finite } from "../rows.ts";

/** A request or a tool call of an episode. */
export interface Span {
  /** Earlier spans that this one waited for, by index. None: it started with the episode. */
  readonly after: readonly number[];
  /** Tokens that were sampled. Default 0. */
  readonly tokens?: number;
  /** Time of the tool. Default 0. */
  readonly seconds?: number;
}

/**
 * Length in seconds of the longest chain of spans that waited for each other, at a fixed time per token. Calls side by
 * side count once, queueing in the trainer's own machine not at all.
 *
 * @param spans in an order in which each comes after those that it waited for
 * @throws ForgeError `argument_invalid` for a span that waits for itself or a later one, or a negative time;
 *   `non_finite`
 */
export function criticalPath(spans: readonly Span[], secondsPerToken: number): number {
  const ends: number[] = [];
  for (const [i, { after, tokens = 0, seconds = 0 }] of spans.entries()) {
    const own = finite(`span ${i}: time`, tokens * secondsPerToken + seconds);
    const starts = after.map((j) => ends[j]);
    if (starts.includes(undefined) || own < 0) {
      throw new ForgeError({
        code: "argument_invalid",
        what: `span ${i} waits for one that is not before it, or takes less than no time`,
        got: `after ${after.join(", ") || "none"}, ${own} s`,
        fix: "list spans in an order in which each comes after those that it waited for",
      });
    }
    ends.push(Math.max(0, ...starts.map(Number)) + own);
  }
  return ends.reduce((latest, end) => Math.max(latest, end), 0);
}
