/** Ballots: who may propose records. */
import type { NodeId } from "./record.ts";

/** A ballot; of two with the same round, that of the later name is higher. */
export interface Ballot {
  readonly round: number;
  readonly node: NodeId;
}

/** Below every other. */
export const NO_BALLOT: Ballot = { round: 0, node: "" };

/** Negative where `a` is lower, 0 where they are the same. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.round !== b.round) return a.round - b.round;
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0;
}
