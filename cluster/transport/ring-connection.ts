/**
 * The ring plane: chunks from the node that was dialled to the node that dialled, and credit the other way.
 *
 * A chunk is a header and as many bytes as that says. The receiver's first credit is its window: how many chunks may be on their
 * way. Each further one is the number of chunks that it has done with since the last.
 *
 * Between chunks the sender may say that a member before the receiver is there and not ready; see `ring-plane/ring-plane.ts`.
 */
import { ClusterError } from "../error.ts";
import { CLOSE, type ConnectionEnd } from "./close-code.ts";
import { BUSY_BYTES, FRAME, frameOf } from "./frame.ts";
import { FramedConnection, type FramedParts } from "./framed-connection.ts";
import type { Reading } from "./intake.ts";
import { RateLimit } from "./rate-limit.ts";

/** Bytes of a chunk's header. */
export const HEADER_BYTES = 64;

/** Where a header says, as a u32, how many bytes follow it. The transport reads nothing else of it. */
export const PAYLOAD_BYTES_AT = 52;

/** Bytes of a credit, u32 little-endian. */
export const CREDIT_BYTES = 4;

/** A member of the ring is there, and has yet to be ready for a collective. */
export interface BusySign {
  readonly op: number;
  /** Links that the sign has come by, this one included: so many places before the receiver the member is. */
  readonly hops: number;
}

interface Waiting {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: ClusterError) => void;
}

/** The end that was dialled, which sends. */
export class RingSender extends FramedConnection {
  readonly #waiting: Waiting[] = [];
  readonly #idle: Pick<Waiting, "resolve" | "reject">[] = [];
  #window = 0;
  #inFlight = 0;
  #cancelStall: (() => void) | undefined;

  constructor(parts: FramedParts, open: (sender: RingSender) => void) {
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

  /** Says that a member is not ready. Where the receiver does not even read that, it is not said. */
  busy({ op, hops }: BusySign): void {
    if (!this.isOpen || this.bufferedBytes > 0) return;
    const sign = Buffer.alloc(BUSY_BYTES);
    sign.writeUInt32LE(op, 0);
    sign.writeUInt32LE(hops, 4);
    this.link.send([frameOf(FRAME.busy, sign)]);
  }

  protected override body(kind: number, length: number): Reading | undefined {
    return kind === FRAME.credit ? this.#creditOf(length) : undefined;
  }

  *#creditOf(length: number): Reading {
    if (length !== CREDIT_BYTES) {
      this.fail(length > CREDIT_BYTES ? CLOSE.tooBig : CLOSE.messageInvalid, "not credit");
      return;
    }
    const credit = new Uint8Array(CREDIT_BYTES);
    yield credit;
    this.handle(() => this.#credit(u32(credit, 0)));
  }

  protected override onEnd(): void {
    this.#cancelStall?.();
    const error = closedError(this.peer.nodeId);
    for (const { reject } of [...this.#waiting.splice(0), ...this.#idle.splice(0)]) reject(error);
  }

  #credit(count: number): void {
    if (count === 0) {
      this.fail(CLOSE.messageInvalid, "credit for nothing");
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

  #pump(): void {
    while (this.isOpen && this.#hasRoom()) {
      const next = this.#waiting.shift();
      if (!next) break;
      this.#inFlight++;
      const { header, payload, resolve } = next;
      const head = frameOf(FRAME.chunk, header, payload.length);
      this.link.send(payload.length > 0 ? [head, payload] : [head], this.#onWritten);
      resolve();
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
   * Where the bytes of a chunk, which are yet to come, are to be put; as many as its header says, and maybe in memory that is
   * shared. Should the connection end before they have all come, some of them are there. Default: bytes of their own. What it
   * throws ends the connection, as with {@link chunk}.
   */
  place?(header: Uint8Array): Uint8Array | undefined;
  /**
   * Called in the order sent, without waiting for the call before; the sender may send one more when what it returns has
   * resolved. The bytes are the handler's. What it throws ends the connection, as with control messages.
   */
  chunk(header: Uint8Array, payload: Uint8Array): void | Promise<void>;
  /** A member is not ready. What it throws ends the connection. */
  busy?(sign: BusySign): void;
  /** Called once, last of all. */
  end?(end: ConnectionEnd): void;
}

/** Makes the handlers of a connection, before its first chunk. */
export type RingOpener = (receiver: RingReceiver) => RingHandlers;

/** The end that has dialled, which receives. */
export class RingReceiver extends FramedConnection {
  readonly #handlers: RingHandlers;
  readonly #signs: RateLimit;
  #inFlight = 0;

  constructor(parts: FramedParts, open: RingOpener) {
    super(parts);
    const { messagesPerSecond, messageBurst } = this.limits;
    this.#signs = new RateLimit(messagesPerSecond, messageBurst, this.clock);
    this.#handlers = this.opened(() => open(this), { chunk: () => {} });
    this.#grant(this.limits.window);
  }

  protected override body(kind: number, length: number): Reading | undefined {
    if (kind === FRAME.chunk) return this.#chunkOf(length);
    return kind === FRAME.busy ? this.#signOf(length) : undefined;
  }

  *#chunkOf(length: number): Reading {
    const bytes = length - HEADER_BYTES;
    if (bytes < 0) return this.fail(CLOSE.messageInvalid, "not a chunk");
    if (bytes > this.limits.chunkBytes) return this.fail(CLOSE.tooBig, "chunk too long");
    if (this.#inFlight >= this.limits.window) {
      return this.fail(CLOSE.messageInvalid, "chunk beyond the window");
    }
    const header = new Uint8Array(HEADER_BYTES);
    yield header;
    if (u32(header, PAYLOAD_BYTES_AT) !== bytes) {
      return this.fail(CLOSE.messageInvalid, "payload of another length than its header says");
    }
    const payload = this.#handlers.place?.(header) ?? new Uint8Array(bytes);
    yield payload;
    this.handle(() => this.#hand(header, payload));
  }

  protected override onEnd(end: ConnectionEnd): void {
    this.#handlers.end?.(end);
  }

  *#signOf(length: number): Reading {
    if (length !== BUSY_BYTES) return this.fail(CLOSE.messageInvalid, "not a sign");
    if (!this.#signs.take()) return this.fail(CLOSE.policy, "too many signs");
    const sign = new Uint8Array(BUSY_BYTES);
    yield sign;
    const [op, hops] = [u32(sign, 0), u32(sign, 4)];
    if (hops === 0) return this.fail(CLOSE.messageInvalid, "a sign of nobody");
    this.handle(() => this.#handlers.busy?.({ op, hops }));
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
    this.link.send([frameOf(FRAME.credit, credit)]);
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
