/** What nodes say to each other about who is in the cluster and how far it has come. Bulk data goes another way. */

import type { Vote } from "./acceptor.ts";
import type { Ballot } from "./ballot.ts";
import type { ClusterRecord, NodeId } from "./record.ts";

/** Messages. Orders and statuses say all there is each time: one that is lost is made up for by the next. */
export type MembershipMessage =
  | Prepare
  | Pledge
  | Refusal
  | Accept
  | Accepted
  | Order
  | Status
  | Redirect;

/** Asks for the promise to vote under no lower ballot. */
export interface Prepare {
  readonly type: "prepare";
  readonly ballot: Ballot;
}

/** Gives it, with all that the acceptor knows. */
export interface Pledge {
  readonly type: "pledge";
  readonly ballot: Ballot;
  readonly chosen: ClusterRecord;
  readonly vote: Vote | null;
}

/** A higher ballot was promised to somebody else. */
export interface Refusal {
  readonly type: "refusal";
  readonly promised: Ballot;
}

/** Asks for a vote. */
export interface Accept {
  readonly type: "accept";
  readonly ballot: Ballot;
  /** The record before: its members vote. */
  readonly chosen: ClusterRecord;
  readonly record: ClusterRecord;
}

/** The vote. */
export interface Accepted {
  readonly type: "accepted";
  readonly ballot: Ballot;
  readonly version: number;
}

/** From the leader to everybody, again and again. */
export interface Order {
  readonly type: "order";
  readonly ballot: Ballot;
  /** Rises with each order of a ballot; those that come late are of no interest. */
  readonly number: number;
  /** Chosen. */
  readonly record: ClusterRecord;
  /** Whether a quorum of its members has said that it knows that. */
  readonly isKnown: boolean;
  /** Whether the members are to move the next step, in the record's epoch; if not, nothing of it is to move. */
  readonly isMoving: boolean;
  /** What the leader's host says of that step, for those of the others; "" as long as nothing moves. */
  readonly work: string;
  /** Who has the state of the record, for those who have not. */
  readonly sources: readonly NodeId[];
  /** Where nodes can be reached, as far as the leader has heard. */
  readonly addresses: Readonly<Record<NodeId, NodeAddresses>>;
}

/** Rings that a node can have. */
export const MOST_RINGS = 16;

/** Where a node can be reached, by those who give it orders and by its neighbours in the ring. */
export interface NodeAddresses {
  readonly control: string;
  /** One for each ring that goes round at once: at most {@link MOST_RINGS}. */
  readonly rings: readonly string[];
}

/** From everybody to the leader, again and again. */
export interface Status {
  readonly type: "status";
  /** Rises with each status of a node. */
  readonly number: number;
  /** Where it can be reached. */
  readonly address: string;
  /** Where its rings can be. */
  readonly rings: readonly string[];
  /** Version of the latest record that the node knows; 0 for none. */
  readonly version: number;
  /** Of the state that it has. */
  readonly step: number;
  readonly hash: string;
  /** Whether it can begin the next step. */
  readonly isReady: boolean;
  /** What is to be done in that step, as far as it would say so if it led; `null` for nothing yet. */
  readonly work: string | null;
  readonly attempt: AttemptStatus | null;
  readonly isLeaving: boolean;
}

/** A step that a node was ordered to move, and has come to an end with. */
export interface AttemptStatus {
  readonly epoch: number;
  readonly step: number;
  /** Of the state that would follow; `null` where it could not be moved. */
  readonly hash: string | null;
  /** Who may be to blame. */
  readonly suspect: NodeId | null;
}

/** Says who leads, to one that has asked somebody else. */
export interface Redirect {
  readonly type: "redirect";
  readonly leader: NodeId;
  /** Where it can be reached. */
  readonly addresses: NodeAddresses;
}
