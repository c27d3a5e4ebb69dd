/** Bodies of plain requests and of their answers. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { checksumOf } from "../protocol/checksum.ts";
import type { Clock } from "./clock.ts";
import { HEADER } from "./handshake.ts";

/** Bytes of an answer that are handed to the socket at once. */
const SLICE = 2 ** 16;

/** Bytes of body that a request says it has; undefined when it does not say. */
export function statedBytes({ headers }: IncomingMessage): number | undefined {
  if (headers["transfer-encoding"] !== undefined) return undefined;
  return Number(headers["content-length"] ?? 0);
}

/** Whether a body is as it was sent, as far as its sender lets that be known. */
export function isIntact(headers: IncomingHttpHeaders, body: Uint8Array): boolean {
  const checksum = headers[HEADER.checksum];
  return checksum === undefined || checksum === checksumOf(body);
}

/** All of a body; "long" once it is longer than it may be, and "gone" when it does not come whole. */
export function bodyOf(
  request: IncomingMessage,
  most: number,
): Promise<Uint8Array | "long" | "gone"> {
  if (statedBytes(request) === 0) return Promise.resolve(new Uint8Array());
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on("data", (piece: Buffer) => {
      length += piece.length;
      if (length <= most) pieces.push(piece);
      else {
        pieces.length = 0;
        resolve("long");
      }
    });
    request.once("end", () => resolve(Buffer.concat(pieces)));
    request.once("error", () => resolve("gone"));
    request.once("close", () => resolve("gone"));
  });
}

/**
 * Sends a body slice by slice. One that takes none for so many milliseconds is cut off, and waited for no longer. It is the socket
 * that tells when who asks is gone: a response that waits for its turn on it is told nothing.
 */
export async function sendBody(
  response: ServerResponse,
  body: Uint8Array,
  patience: { readonly stallMs: number; readonly clock: Clock },
): Promise<void> {
  const { socket } = response.req;
  for (let at = 0; at < body.length && !socket.destroyed; at += SLICE) {
    const hasRoom = response.write(body.subarray(at, at + SLICE));
    if (!hasRoom) await taken(response, "drain", patience);
  }
  if (socket.destroyed) return;
  response.end();
  if (!response.writableFinished) await taken(response, "finish", patience);
}

function taken(
  response: ServerResponse,
  event: "drain" | "finish",
  { stallMs, clock }: { readonly stallMs: number; readonly clock: Clock },
): Promise<void> {
  const { socket } = response.req;
  return new Promise((resolve) => {
    const cancel = clock.after(stallMs, () => socket.destroy());
    const settle = (): void => {
      cancel();
      response.off(event, settle);
      socket.off("close", settle);
      resolve();
    };
    response.once(event, settle);
    socket.once("close", settle);
  });
}
