/** A node of a cluster that runs, wherever its control plane does. */
import type { AttemptStatus, NodeAddresses } from "../membership/message.ts";
import type { ClusterRecord, NodeId } from "../membership/record.ts";

/** What a node knows. */
export interface NodeView {
  /** The latest record that the node knows. */
  readonly record: ClusterRecord;
  /** Who leads, as far as the node knows. */
  readonly leader: NodeId | undefined;
  /** Of the state that the host has; −1 for none. */
  readonly step: number;
  /** Whether some other node is connected with this one. */
  readonly isConnected: boolean;
  /** Whether it has left, and the others can do without it. */
  readonly isOver: boolean;
  /** Sockets at its door that have made a plain request, as long as they are there. */
  readonly guests: number;
}

/** Where nodes can be reached. */
export type Addresses = ReadonlyMap<NodeId, NodeAddresses>;

/** See the file's head. What it is told it does in order. */
export interface Running extends NodeView, AsyncDisposable {
  /** Of its door, as ws:// or wss://. */
  readonly url: string;
  /** Of nodes that it has heard of, whether they are in the cluster or not. */
  readonly addresses: Addresses;
  /** Begins a cluster, with the state that the host has; the host leads when this is fulfilled. */
  found(step: number, hash: string): Promise<void>;
  /** Asks to be let in, by any node of the cluster. Errors: those of `dialControl`. */
  join(address: string): Promise<void>;
  /** As `ClusterNode.ready`. */
  ready(step: number, hash: string, work: string | null): void;
  /** The host has come to an end with a step. */
  ended(end: AttemptStatus): void;
  /** Leaves, when the step under way is over; the host is told when the others go on without it. */
  leave(): void;
}
