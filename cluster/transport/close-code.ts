/** Why connections end. */

/**
 * Close codes on the wire. Those below 4000 mean what RFC 6455, §7.4.1, says; `ws` itself sends 1002, 1007, 1008 and 1009 for
 * what is wrong with frames.
 */
export const CLOSE = {
  /** Done. */
  normal: 1000,
  /** The node leaves. */
  goingAway: 1001,
  /** Not WebSocket: unmasked, reserved bits, unknown opcodes. */
  protocolError: 1002,
  /** Binary where text belongs, or the reverse. */
  wrongKind: 1003,
  /** No close frame came. Never sent. */
  abnormal: 1006,
  /** Text that is not UTF-8. */
  notText: 1007,
  /** Too many messages, fragments or pieces, or one that has no place in the protocol here and now. */
  policy: 1008,
  /** A message above its limit, or a length that lies. */
  tooBig: 1009,
  /** What was to handle a message failed. */
  internal: 1011,
  /** A control message, chunk or credit that makes no sense. */
  messageInvalid: 4000,
  /** No first message in time. */
  firstMessageLate: 4001,
  /** No sign of life. */
  dead: 4002,
  /** The peer does not read. */
  slow: 4003,
  /** A newer connection, or a newer epoch, takes its place. */
  superseded: 4004,
} as const;

/** What a connection can be closed with. */
export type CloseCode = Exclude<(typeof CLOSE)[keyof typeof CLOSE], typeof CLOSE.abnormal>;

/** How a connection came to its end. */
export interface ConnectionEnd {
  /** One of {@link CLOSE}, or what the peer has sent. */
  readonly code: number;
  readonly reason: string;
  /** Who ended it; "network" when nobody said so. */
  readonly by: "us" | "peer" | "network";
  /** What was thrown, if anything was. */
  readonly cause?: unknown;
}

/** Codes of what `ws` finds wrong with frames, less those that are protocol errors. */
const OF_FRAME_ERRORS: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: CLOSE.notText,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: CLOSE.policy,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: CLOSE.tooBig,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: CLOSE.tooBig,
};

/** The close code that `ws` sends for an error of its own; undefined for errors of the socket. */
export function closeCodeOf(error: Error & { readonly code?: string }): number | undefined {
  if (!error.code?.startsWith("WS_ERR_")) return undefined;
  return OF_FRAME_ERRORS[error.code] ?? CLOSE.protocolError;
}

/** A peer's words, fit for a log. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 123);
}
