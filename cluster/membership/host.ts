/** What a node does on the orders of its cluster: whoever holds the model and the ring. */
import type { NodeId } from "./record.ts";

/** A step that is to be moved. */
export interface Move {
  /** Of one attempt: the next one has another. */
  readonly epoch: number;
  readonly step: number;
  /** Sorted; the place of a node is its rank. */
  readonly members: readonly NodeId[];
  /** What the leader's host has said when it was ready for this step. */
  readonly work: string;
  readonly leader: NodeId;
}

/** A state that is to be fetched from one that has it, and checked. */
export interface Fetch {
  readonly step: number;
  readonly hash: string;
  readonly sources: readonly NodeId[];
}

/** What the cluster asks of its host. None of these may throw, or call back before it returns. */
export interface ClusterHost {
  /** The node leads from now on, or no longer. Whoever leads says what work there is with `ready`, and is waited for. */
  lead(isLeading: boolean): void;
  /** Puts the node's contribution to a step together with those of the others, beside its state. Then `ended`. */
  move(move: Move): void;
  /** Ends the move of an epoch, if it is under way, and forgets what came of it. */
  abort(epoch: number): void;
  /** Makes what was moved in an epoch its state. Then `ready`, when it can begin the step after that. */
  commit(epoch: number, step: number): void;
  /** Fetches a state in place of its own. Then `ready`. Another one may be asked for meanwhile. */
  fetch(fetch: Fetch): void;
  /** The node has left. */
  end(): void;
}
