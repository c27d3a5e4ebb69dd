/** What the environment of a launcher says of a node. */

/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A value, and the flag or variable that it came from; `default` when from none. */
export interface Setting<T> {
  readonly value: T;
  readonly source: string;
}

/**
 * Hints: a launcher knows who was started, and not who is there by now. Ranks of members are the cluster's own, from epoch
 * to epoch.
 */
export interface Launch {
  /** The node's number among those started together: who is 0 founds the cluster, and ids are in this order. */
  readonly rank?: Setting<number>;
  /** As `--world` takes it. */
  readonly world?: Setting<string>;
  /** What the launcher calls the run, unlike any other of its runs. */
  readonly run?: Setting<string>;
  /** Where others of the run may be, `host:port` each, who founds the cluster first. */
  readonly contacts?: Setting<readonly string[]>;
  /** Where this node is to listen, if contacts name it. */
  readonly port?: Setting<number>;
  /** Under which name others find this machine. */
  readonly host?: Setting<string>;
  /** What sets this node's id apart from those of other groups of the same run. */
  readonly group?: Setting<string>;
  /** How often the launcher has started it again. */
  readonly restarts?: Setting<number>;
}

/** The port of a node where no launcher has one, as of torchrun's rendezvous. */
export const DEFAULT_PORT = 29400;
