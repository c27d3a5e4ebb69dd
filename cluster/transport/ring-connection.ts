/**
 * The ring plane: chunks from the node that was dialled to the node that dialled, so that they are never masked, and credit the
 * other way.
 *
 * A chunk is a message of a header and, unless that says there are no bytes, a message of them. The receiver's first message
 * is its window, u32 little-endian: how many chunks may be on their way. Each further one is the number of chunks that it has
 * done with since the last.
 */
import { ClusterError } from "../error.ts";
import { CLOSE, type ConnectionEnd } from "./close-code.ts";
import { Connection, type ConnectionParts } from "./connection.ts";

/** Bytes of a chunk's header. */
export const HEADER_BYTES = 64;

/** Where a header says, as a u32, how many bytes follow it. The transport reads nothing else of it. */
export const PAYLOAD_BYTES_AT = 52;

/** Bytes of a message from the receiver. */
export const CREDIT_BYTES = 4;

interface Waiting {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: ClusterError) => void;
}

/** The end that was dialled, which sends. */
export class RingSender extends Connection {
  readonly #waiting: Waiting[] = [];
  readonly #idle: Pick<Waiting, "resolve" | "reject">[] = [];
  #window = 0;
  #inFlight = 0;
  #cancelStall: (() => void) | undefined;

  constructor(parts: ConnectionParts, open: (sender: RingSender) => void) {
    super(parts);
    this.opened(() => open(this), undefined);
  }

  /** Chunks that the receiver has not yet done with. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Sends a chunk as soon as the receiver's window and the limit on what waits in the socket have room, in the order of the
   * calls; resolves when it is in the socket. The bytes must stay as they are until {@link whenIdle}.
   *
   * Errors    `argument_invalid` for a header that does not say how many bytes there are, or too many bytes;
   *           `connection_closed`.
   */
  async send(header: Uint8Array, payload: Uint8Array): Promise<void> {
    checkChunk(header, payload, this.limits.chunkBytes);
    if (!this.isOpen) throw closedError(this.peer.nodeId);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ header, payload, resolve, reject });
      this.#pump();
    });
  }

  /** Resolves when the receiver has done with all that was sent. Errors: `connection_closed`. */
  async whenIdle(): Promise<void> {
    if (!this.isOpen) throw closedError(this.peer.nodeId);
    if (this.#inFlight === 0 && this.#waiting.length === 0) return;
    return new Promise((resolve, reject) => {
      this.#idle.push({ resolve, reject });
    });
  }

  protected override receive(data: Uint8Array, isBinary: boolean): void {
    const count = isBinary && data.length === CREDIT_BYTES ? u32(data, 0) : 0;
    if (count === 0) {
      this.fail(isBinary ? CLOSE.messageInvalid : CLOSE.wrongKind, "not credit");
      return;
    }
    if (this.#window === 0) {
      this.#window = Math.min(count, this.limits.window);
    } else if (count > this.#inFlight) {
      this.fail(CLOSE.messageInvalid, "credit for more than was sent");
    } else {
      this.#inFlight -= count;
    }
    this.#pump();
    if (this.#inFlight === 0) for (const { resolve } of this.#idle.splice(0)) resolve();
  }

  protected override onLife(): void {}

  protected override onEnd(): void {
    this.#cancelStall?.();
    const error = closedError(this.peer.nodeId);
    for (const { reject } of [...this.#waiting.splice(0), ...this.#idle.splice(0)]) reject(error);
  }

  #pump(): void {
    while (this.isOpen && this.#hasRoom()) {
      const next = this.#waiting.shift();
      if (!next) break;
      this.#inFlight++;
      this.socket.send(next.header, { binary: true }, this.#onWritten);
      if (next.payload.length > 0) {
        this.socket.send(next.payload, { binary: true }, this.#onWritten);
      }
      next.resolve();
    }
    if (this.isOpen && this.bufferedBytes > 0) {
      this.#cancelStall ??= this.clock.after(this.limits.stallMs, () => {
        this.kill(CLOSE.slow, "chunks are not read");
      });
    }
  }

  #hasRoom(): boolean {
    const [next] = this.#waiting;
    if (!next || this.#inFlight >= this.#window) return false;
    const bytes = HEADER_BYTES + next.payload.length;
    return this.bufferedBytes + bytes <= this.limits.bufferedBytes;
  }

  /** Bytes have left the socket: the receiver reads, and there may be room. */
  readonly #onWritten = (): void => {
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    this.#pump();
  };
}

/** What is done with chunks. */
export interface RingHandlers {
  /**
   * Called in the order sent, without waiting for the call before; the sender may send one more when what it returns has
   * resolved. The bytes are the handler's. What it throws ends the connection, as with control messages.
   */
  chunk(header: Uint8Array, payload: Uint8Array): void | Promise<void>;
  /** Called once, last of all. */
  end?(end: ConnectionEnd): void;
}

/** Makes the handlers of a connection, before its first chunk. */
export type RingOpener = (receiver: RingReceiver) => RingHandlers;

const NO_BYTES = new Uint8Array();

/** The end that has dialled, which receives. */
export class RingReceiver extends Connection {
  readonly #handlers: RingHandlers;
  /** Waits for the payload it speaks of. */
  #header: Uint8Array | undefined;
  #inFlight = 0;

  constructor(parts: ConnectionParts, open: RingOpener) {
    super(parts);
    this.#handlers = this.opened(() => open(this), { chunk: () => {} });
    this.#grant(this.limits.window);
  }

  protected override receive(data: Uint8Array, isBinary: boolean): void {
    if (!isBinary) this.fail(CLOSE.wrongKind, "binary only");
    else if (this.#header) this.#onPayload(this.#header, data);
    else this.#onHeader(data);
  }

  protected override onLife(): void {}

  protected override onEnd(end: ConnectionEnd): void {
    this.#handlers.end?.(end);
  }

  #onHeader(header: Uint8Array): void {
    if (header.length !== HEADER_BYTES) {
      this.fail(CLOSE.messageInvalid, "not a header");
    } else if (u32(header, PAYLOAD_BYTES_AT) > this.limits.chunkBytes) {
      this.fail(CLOSE.tooBig, "chunk too long");
    } else if (this.#inFlight >= this.limits.window) {
      this.fail(CLOSE.messageInvalid, "chunk beyond the window");
    } else if (u32(header, PAYLOAD_BYTES_AT) === 0) {
      this.#hand(header, NO_BYTES);
    } else {
      this.#header = header;
    }
  }

  #onPayload(header: Uint8Array, payload: Uint8Array): void {
    this.#header = undefined;
    if (payload.length === u32(header, PAYLOAD_BYTES_AT)) this.#hand(header, payload);
    else this.fail(CLOSE.messageInvalid, "payload of another length than its header says");
  }

  #hand(header: Uint8Array, payload: Uint8Array): void {
    this.#inFlight++;
    const done = this.#handlers.chunk(header, payload);
    if (done === undefined) this.#done();
    else
      done.then(
        () => this.#done(),
        (error: unknown) => this.failFor(error),
      );
  }

  #done(): void {
    this.#inFlight--;
    this.#grant(1);
  }

  #grant(chunks: number): void {
    if (!this.isOpen) return;
    const credit = Buffer.alloc(CREDIT_BYTES);
    credit.writeUInt32LE(chunks);
    this.socket.send(credit);
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function checkChunk(header: Uint8Array, payload: Uint8Array, limit: number): void {
  const isWhole =
    header.length === HEADER_BYTES && u32(header, PAYLOAD_BYTES_AT) === payload.length;
  if (isWhole && payload.length <= limit) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this is no chunk to be sent.",
    got: `a header of ${header.length} bytes and a payload of ${payload.length}`,
    why: `the header has ${HEADER_BYTES} bytes and says how many the payload has, at most ${limit}`,
    fix: "cut the vector into smaller chunks",
  });
}

function closedError(nodeId: string): ClusterError {
  return new ClusterError({
    code: "connection_closed",
    what: `the connection to ${nodeId} has ended.`,
    fix: "abort the collective; the leader decides who goes on",
  });
}
