/** Clients that do as they please, on raw sockets. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { checksumOf } from "../../../cluster/protocol/checksum.ts";
import { FRAME, PREFIX_BYTES, RING_PROTOCOL } from "../../../cluster/transport/frame.ts";
import { HEADER, TRANSPORT_VERSION } from "../../../cluster/transport/handshake.ts";
import type { Plane } from "../../../cluster/transport/identity.ts";
import type { Listener } from "../../../cluster/transport/listener.ts";
import type { Token } from "../../../cluster/transport/token.ts";

export const RUN_ID = "0123456789abcdef0123456789abcdef";

/** Everything a socket gives until it is gone, or until there is enough. */
export class RawClient {
  readonly socket: Socket;
  readonly #gone: Promise<void>;
  #isRing = false;
  #received = Buffer.alloc(0);
  #onData: () => void = () => {};

  /** One that clings does not go when it is told goodbye. */
  constructor(port: number, { clings = false } = {}) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: clings });
    this.socket.setNoDelay();
    this.socket.on("error", () => {});
    this.socket.on("data", (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#onData();
    });
    this.#gone = new Promise((resolve) => {
      this.socket.once("close", () => {
        this.#onData();
        resolve();
      });
    });
  }

  get received(): Buffer {
    return this.#received;
  }

  write(bytes: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** Writes, and waits until the bytes have left. */
  async push(bytes: Uint8Array): Promise<void> {
    if (this.socket.destroyed) return;
    await new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** All there was when the other end had closed. */
  async rest(): Promise<Buffer> {
    await this.#gone;
    return this.#received;
  }

  /** Waits until what was received is as wanted; false when the socket is gone before. */
  async until(isEnough: (received: Buffer) => boolean): Promise<boolean> {
    while (!isEnough(this.#received)) {
      if (this.socket.destroyed) return false;
      await new Promise<void>((resolve) => {
        this.#onData = resolve;
      });
    }
    return true;
  }

  /** The HTTP status it was answered with before the socket was gone; 0 for none. */
  async status(): Promise<number> {
    return statusIn(await this.rest());
  }

  /** Opens a plane by hand. Throws unless it is let in. */
  async upgrade(headers: Readonly<Record<string, string>>, path = "/control"): Promise<this> {
    this.#isRing = path === "/ring";
    this.write(requestOf(path, headers));
    const isIn = await this.until((received) => received.includes("\r\n\r\n"));
    if (!isIn || statusIn(this.#received) !== 101)
      throw new Error(`status ${statusIn(this.#received)}`);
    return this;
  }

  /** Code of the close frame it is sent, whereupon it goes; 0 when the socket is gone before. */
  async closeCode(): Promise<number> {
    const codeIn = this.#isRing ? ringCloseCodeIn : closeCodeIn;
    const code = (received: Buffer): number =>
      codeIn(received.subarray(received.indexOf("\r\n\r\n") + 4));
    await this.until((received) => code(received) !== 0);
    this.destroy();
    return code(this.#received);
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Of all that makes a good request; given ones take their place, and undefined ones are left out. */
export function headersFor(
  token: Token,
  given: Readonly<Record<string, string | undefined>> = {},
  plane: Plane = "control",
): Record<string, string> {
  const headers = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    ...(plane === "control"
      ? {
          Upgrade: "websocket",
          "Sec-WebSocket-Version": "13",
          "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
        }
      : { Upgrade: RING_PROTOCOL, [HEADER.nonce]: randomBytes(16).toString("hex") }),
    Authorization: `Bearer ${token.bearer("trainer").reveal()}`,
    [HEADER.version]: TRANSPORT_VERSION,
    [HEADER.run]: RUN_ID,
    [HEADER.node]: "mallory",
    ...given,
  };
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  );
}

export function requestOf(
  path: string,
  headers: Readonly<Record<string, string>>,
  method = "GET",
): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** As {@link headersFor}, of a plain request. */
export function plainHeadersFor(
  token: Token,
  given: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  return headersFor(token, {
    Connection: undefined,
    Upgrade: undefined,
    "Sec-WebSocket-Version": undefined,
    "Sec-WebSocket-Key": undefined,
    [HEADER.nonce]: randomBytes(16).toString("hex"),
    ...given,
  });
}

/** Asks to be let in, and tells the status of the answer. */
export async function statusOf(
  listener: Listener,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const client = new RawClient(listener.port);
  client.write(requestOf(path, headers));
  await client.until((received) => received.includes("\r\n\r\n"));
  const status = statusIn(client.received);
  client.destroy();
  return status;
}

/** What a frame is made of. */
export interface FrameParts {
  readonly opcode?: number;
  readonly isLast?: boolean;
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** Instead of the payload's. */
  readonly length?: bigint;
  readonly payload?: Uint8Array;
}

/** A frame, wrong ones too. */
export function frame(parts: FrameParts = {}): Buffer {
  const {
    opcode = 1,
    isLast = true,
    reserved = 0,
    isMasked = true,
    payload = new Uint8Array(),
  } = parts;
  const length = parts.length ?? BigInt(payload.length);
  const first = (isLast ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = isMasked ? 0x80 : 0;
  let head: Buffer;
  if (length < 126n) {
    head = Buffer.from([first, mask | Number(length)]);
  } else if (length < 65_536n) {
    head = Buffer.from([first, mask | 126, Number(length) >> 8, Number(length) & 255]);
  } else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = mask | 127;
    head.writeBigUInt64BE(length, 2);
  }
  // a mask of zeros changes nothing
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0), payload]);
}

/** A text with its checksum, as control messages have it. */
export function sealed(text: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(checksumOf(text)), Buffer.from(text)]);
}

export function textFrame(value: unknown): Buffer {
  return frame({ payload: sealed(JSON.stringify(value)) });
}

function statusIn(received: Buffer): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(received.toString("latin1"))?.[1] ?? 0);
}

/** Frames from a server are not masked; other frames may come before the one that closes. */
function closeCodeIn(bytes: Buffer): number {
  let at = 0;
  while (at + 2 <= bytes.length) {
    const opcode = (bytes[at] ?? 0) & 15;
    let length = (bytes[at + 1] ?? 0) & 127;
    let head = 2;
    if (length === 126) {
      length = bytes.readUInt16BE(at + 2);
      head = 4;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at + 2));
      head = 10;
    }
    if (opcode === 8) return length >= 2 ? bytes.readUInt16BE(at + head) : 1005;
    at += head + length;
  }
  return 0;
}

/** A frame of the ring, wrong ones too; `length` instead of the payload's. */
export function ringFrame(kind: number, payload: Uint8Array, length = payload.length): Buffer {
  const head = Buffer.alloc(PREFIX_BYTES);
  head.writeUInt32LE(kind, 0);
  head.writeUInt32LE(length, 4);
  return Buffer.concat([head, payload]);
}

/** Credit for so many chunks; the first one is the window. */
export function creditFrame(chunks: number): Buffer {
  const credit = Buffer.alloc(4);
  credit.writeUInt32LE(chunks);
  return ringFrame(FRAME.credit, credit);
}

function ringCloseCodeIn(bytes: Buffer): number {
  for (let at = 0; at + PREFIX_BYTES + 2 <= bytes.length; ) {
    const [kind, length] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    if (kind === FRAME.close) return bytes.readUInt16LE(at + PREFIX_BYTES);
    at += PREFIX_BYTES + length;
  }
  return 0;
}
