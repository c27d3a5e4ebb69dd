/**
 * Frames on the ring, once a socket has been upgraded to {@link RING_PROTOCOL}: eight bytes and what they announce.
 *
 *   0 kind    u32, little-endian
 *   4 length  u32: bytes that follow
 *
 * A chunk is its header and its payload. Credit is a u32. A sign that a member is not ready is two: the collective, and the links
 * that it has come by. A frame that closes is a close code, u16, and a reason in ASCII; it is the last of its sender's.
 */
import { printable } from "./close-code.ts";

/** What is asked for in the header `upgrade`. */
export const RING_PROTOCOL = "forge-ring";

export const PREFIX_BYTES = 8;

/** Kinds of frames. */
export const FRAME = { chunk: 1, credit: 2, close: 3, busy: 4 } as const;
export type FrameKind = (typeof FRAME)[keyof typeof FRAME];

/** Bytes of a sign that a member is not ready. */
export const BUSY_BYTES = 8;

/** Bytes that a frame which closes may announce. */
export const CLOSE_BYTES = { least: 2, most: 125 } as const;

/** The first bytes of a frame, before `bytes`, of which there may be more behind them. */
export function frameOf(kind: FrameKind, bytes: Uint8Array, more = 0): Buffer<ArrayBuffer> {
  const frame = Buffer.alloc(PREFIX_BYTES + bytes.length);
  frame.writeUInt32LE(kind, 0);
  frame.writeUInt32LE(bytes.length + more, 4);
  frame.set(bytes, PREFIX_BYTES);
  return frame;
}

/** The frame that closes. */
export function closeFrame(code: number, reason: string): Buffer<ArrayBuffer> {
  const text = Buffer.from(printable(reason));
  const bytes = Buffer.alloc(2 + text.length);
  bytes.writeUInt16LE(code, 0);
  bytes.set(text, 2);
  return frameOf(FRAME.close, bytes);
}
