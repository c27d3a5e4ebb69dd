/** How much a peer may ask of us: bytes, messages, sockets and patience. */
import { ClusterError } from "../error.ts";

export interface TransportLimits {
  /** Bytes of a control message. */
  readonly controlBytes: number;
  /** Control messages a second in the long run; one of n bytes counts as 1 + ⌊n / 16 KiB⌋. */
  readonly messagesPerSecond: number;
  /** Control messages at once. */
  readonly messageBurst: number;
  /** Bytes of a payload on the ring. */
  readonly chunkBytes: number;
  /** Chunks on their way to a receiver that it has not yet done with. */
  readonly window: number;
  /** Bytes that wait in a socket to be sent. */
  readonly bufferedBytes: number;
  /** Fragments of a message. We send whole ones; what stands between may cut them. */
  readonly fragments: number;
  /** Connections of both planes. */
  readonly connections: number;
  /** Sockets that have not yet said who they are. */
  readonly pending: number;
  /** As {@link pending}, from one address. */
  readonly pendingPerAddress: number;
  /** Sockets of a role that plain requests come over, one at a time on each. */
  readonly requests: number;
  /** As {@link requests}, of one node. */
  readonly requestsPerNode: number;
  /** Bytes of the bodies of all plain requests that are not yet answered. */
  readonly requestBytes: number;
  /** Milliseconds until a plain request has come whole. */
  readonly requestMs: number;
  /** Milliseconds until a socket has said who it is. */
  readonly handshakeMs: number;
  /** Milliseconds until its first message. */
  readonly firstMessageMs: number;
  /** Milliseconds between heartbeats. */
  readonly heartbeatMs: number;
  /** Heartbeats without an answer after which a peer is dead. */
  readonly heartbeatMisses: number;
  /** Milliseconds that a chunk, or a slice of an answer, may wait while the receiver takes nothing at all. */
  readonly stallMs: number;
  /** Milliseconds that a peer has to take note that we are closing. */
  readonly closeMs: number;
}

export const DEFAULT_LIMITS: TransportLimits = {
  controlBytes: 2 ** 20,
  messagesPerSecond: 500,
  messageBurst: 1_000,
  chunkBytes: 2 ** 20,
  window: 8,
  bufferedBytes: 16 * 2 ** 20,
  fragments: 16,
  connections: 1_024,
  pending: 128,
  pendingPerAddress: 64,
  requests: 256,
  requestsPerNode: 16,
  requestBytes: 2 ** 28,
  requestMs: 30_000,
  handshakeMs: 2_000,
  firstMessageMs: 2_000,
  heartbeatMs: 500,
  heartbeatMisses: 3,
  stallMs: 5_000,
  closeMs: 1_000,
};

/** ws makes its limits integers of 32 bits by `| 0`, whereby 2³² turns into none at all. */
const LARGEST = 2 ** 30;

/** The defaults, but for what is given. Errors: `argument_invalid`. */
export function limitsOf(given: Partial<TransportLimits> = {}): TransportLimits {
  const limits = { ...DEFAULT_LIMITS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (Number.isInteger(value) && value >= 1 && value <= LARGEST) continue;
    throw new ClusterError({
      code: "argument_invalid",
      what: `the limit ${name} cannot be this.`,
      got: String(value),
      why: `limits are integers from 1 to ${LARGEST}`,
      fix: "leave it out to have the default",
    });
  }
  const { chunkBytes, bufferedBytes, controlBytes } = limits;
  if (bufferedBytes < Math.max(chunkBytes, controlBytes) + 2 ** 10) {
    throw new ClusterError({
      code: "argument_invalid",
      what: "the limit bufferedBytes has no room for a message.",
      got: `${bufferedBytes} for chunks of ${chunkBytes} and messages of ${controlBytes} bytes`,
      fix: "give it at least a KiB more than the larger of the two",
    });
  }
  return limits;
}

/** What `ws` is told of a connection. */
export interface FrameLimits {
  readonly maxPayload: number;
  readonly maxFragments: number;
  readonly maxBufferedChunks: number;
  readonly perMessageDeflate: false;
  readonly autoPong: false;
}

/**
 * For messages of at most so many bytes. Each piece of one that the network delivers should be of 256 bytes on average. Nothing
 * is compressed, and pings are answered by ourselves, who count them.
 */
export function frameLimits(maxPayload: number, { fragments }: TransportLimits): FrameLimits {
  return {
    perMessageDeflate: false,
    autoPong: false,
    maxPayload,
    maxFragments: fragments,
    maxBufferedChunks: 64 + Math.ceil(maxPayload / 256),
  };
}
