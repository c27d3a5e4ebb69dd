/**
 * The one error class of the cluster, of the same shape as the engine's.
 *
 * Every error says what failed, what was got, why that is wrong and what to do next, and carries a stable code:
 * codes are API, prose is not.
 */

/** Stable error codes. A code keeps its meaning for ever; tests assert codes, never prose. */
export type ClusterErrorCode =
  | "argument_invalid"
  | "collective_aborted"
  | "connection_closed"
  | "frame_invalid"
  | "listen_failed"
  | "message_invalid"
  | "non_finite"
  | "peer_busy"
  | "peer_forbidden"
  | "peer_invalid"
  | "peer_not_ready"
  | "peer_stalled"
  | "peer_unauthorized"
  | "peer_unreachable"
  | "protocol_violated"
  | "tls_invalid"
  | "token_invalid";

/** The parts of an error, each one short sentence or value. */
export interface ClusterErrorParts {
  /** Stable code. */
  readonly code: ClusterErrorCode;
  /** What failed: the object, and the claim that does not hold. */
  readonly what: string;
  /** The offending values. Never a secret. */
  readonly got?: string;
  /** The rule that the values break. */
  readonly why?: string;
  /** What to do next. */
  readonly fix?: string;
  /** The node that may be to blame: others decide. */
  readonly suspect?: string;
  /** Whether trying again is of no use: this node has to end. */
  readonly isFinal?: boolean;
  /** The error underneath, if any. */
  readonly cause?: unknown;
}

/** An error of the cluster; see {@link ClusterErrorParts}. */
export class ClusterError extends Error {
  override readonly name = "ClusterError";
  /** Stable code, for programs. */
  readonly code: ClusterErrorCode;
  /** What to do next, for people. */
  readonly hint: string | undefined;
  /** The node that may be to blame, if it is another's fault. */
  readonly suspect: string | undefined;
  /** Whether trying again is of no use: this node has to end. */
  readonly isFinal: boolean;
  readonly #parts: ClusterErrorParts;

  constructor(parts: ClusterErrorParts) {
    const lines = [`[${parts.code}] ${parts.what}`];
    if (parts.got !== undefined) lines.push(`  got  ${parts.got}`);
    if (parts.why !== undefined) lines.push(`  why  ${parts.why}`);
    if (parts.fix !== undefined) lines.push(`  fix  ${parts.fix}`);
    super(lines.join("\n"), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = parts.code;
    this.hint = parts.fix;
    this.suspect = parts.suspect;
    this.isFinal = parts.isFinal ?? false;
    this.#parts = parts;
  }

  /** What it was made of, less the error underneath: to be posted to another thread, and made an error again there. */
  get parts(): ClusterErrorParts {
    const { cause, ...parts } = this.#parts;
    return parts;
  }
}
