/** How patient a cluster is, and how large. */

/** Times are milliseconds on the node's clock. */
export interface ClusterOptions {
  /** Nodes that a step needs at least. */
  readonly minWorld: number;
  /** Nodes that are let in at most. */
  readonly maxWorld: number;
  /** Between two messages of the same to the same, where nothing is new. */
  readonly beat: number;
  /** Silence after which a node counts as gone. */
  readonly lostAfter: number;
  /** How long, in all, a newcomer may keep the others waiting. */
  readonly patience: number;
  /** Attempts of one step that may fail by the same node before the others go on without it. */
  readonly strikes: number;
  /** How long they do. */
  readonly ban: number;
}

/** What research/cluster.md measured: a peer that hangs or is cut off is found after three heartbeats of 500 ms. */
export const DEFAULT_OPTIONS: ClusterOptions = {
  ...{ minWorld: 1, maxWorld: 1024 },
  ...{ beat: 500, lostAfter: 1500, patience: 60_000 },
  ...{ strikes: 2, ban: 30_000 },
};
