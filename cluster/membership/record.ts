/** What a cluster has agreed on: who is in it, and how far it has come. */

/** A process that is in the cluster, or wants to be. One that was started again is another node. */
export type NodeId = string;

/** A record. Each follows from the one before; none is ever changed. */
export interface ClusterRecord {
  /** 1, 2, 3, …: its place in the sequence of records. */
  readonly version: number;
  /** Changes with the members, and after an attempt that failed: what belongs to another epoch is nobody's. */
  readonly epoch: number;
  /** Sorted. Those who train, and who vote on the next record; the place of a node is its rank. */
  readonly members: readonly NodeId[];
  /** Optimizer steps that are committed. */
  readonly step: number;
  /** Of the state after that step. */
  readonly hash: string;
}

/** What is known before anything is. */
export const NO_RECORD: ClusterRecord = { version: 0, epoch: 0, members: [], step: 0, hash: "" };

/**
 * Whether nodes are a quorum of the members of a record: more than half of them, or half with the first one among them. Two
 * quorums of the same members have one in common, so that of a divided cluster one side at most goes on.
 *
 * Source    weighted voting: D. K. Gifford, Weighted Voting for Replicated Data, SOSP 1979; the first member's vote is worth
 *           one and a half.
 */
export function isQuorum(nodes: Iterable<NodeId>, members: readonly NodeId[]): boolean {
  const there = new Set(nodes);
  const count = members.filter((member) => there.has(member)).length;
  const first = members[0];
  const extra = first !== undefined && there.has(first) ? 0.5 : 0;
  return count + extra > (members.length + 0.5) / 2;
}
