/** What the two planes have in common: a WebSocket that is bounded, watched, and surely closed. */
import type { RawData, WebSocket } from "ws";
import { ClusterError } from "../error.ts";
import type { Clock } from "./clock.ts";
import { CLOSE, type CloseCode, type ConnectionEnd, closeCodeOf, printable } from "./close-code.ts";
import type { Plane, Role } from "./identity.ts";
import type { TransportLimits } from "./limits.ts";
import { RateLimit } from "./rate-limit.ts";

/** Who is at the other end. */
export interface Peer {
  readonly nodeId: string;
  readonly role: Role;
  readonly plane: Plane;
  /** Address and port. */
  readonly address: string;
}

/** What a connection is made of. */
export interface ConnectionParts {
  readonly socket: WebSocket;
  readonly peer: Peer;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  /** Whether the peer has dialled. */
  readonly isServer: boolean;
}

/** An open connection. Its end is told by {@link closed} alone, which never rejects. */
export abstract class Connection {
  readonly peer: Peer;
  /** How it ended, once its socket is gone. */
  readonly closed: Promise<ConnectionEnd>;
  protected readonly socket: WebSocket;
  protected readonly limits: TransportLimits;
  protected readonly clock: Clock;
  readonly #rate: RateLimit;
  readonly #cancels: (() => void)[] = [];
  #end: ConnectionEnd | undefined;
  #hasHeard = false;

  constructor({ socket, peer, limits, clock, isServer }: ConnectionParts) {
    this.peer = peer;
    this.socket = socket;
    this.limits = limits;
    this.clock = clock;
    this.#rate = new RateLimit(limits.messagesPerSecond, limits.messageBurst, clock);
    this.closed = new Promise((resolve) => {
      socket.once("close", (code, reason) => {
        this.#end ??= endOf(code, printable(reason.toString("latin1")));
        for (const cancel of this.#cancels) cancel();
        resolve(this.#end);
        this.onEnd(this.#end);
      });
    });
    socket.on("error", (error) => this.#onError(error));
    socket.on("message", (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on("ping", (data) => {
      if (this.#isLife()) this.socket.pong(data);
    });
    socket.on("pong", () => this.#isLife());
    if (isServer) this.#awaitFirst();
  }

  /** Whether messages can be sent: neither end has begun to close it. */
  get isOpen(): boolean {
    return this.#end === undefined && this.socket.readyState === this.socket.OPEN;
  }

  /** Bytes that wait in the socket to be sent. */
  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** Ends it. What was sent before still arrives, if the peer reads it in time. Resolves when the socket is gone. */
  close(code: CloseCode = CLOSE.normal, reason = ""): Promise<ConnectionEnd> {
    this.fail(code, reason);
    return this.closed;
  }

  /** Ends it as {@link close}, but waits for nobody. */
  kill(code: CloseCode, reason: string): void {
    this.fail(code, reason);
    this.socket.terminate();
  }

  /** Handles a message. What it throws ends the connection. */
  protected abstract receive(data: Uint8Array, isBinary: boolean): void;

  /** The peer gave a sign of life. */
  protected abstract onLife(): void;

  /** The socket is gone. */
  protected abstract onEnd(end: ConnectionEnd): void;

  /** Whether so many messages more can be borne from the peer; ends the connection if not. */
  protected bear(messages: number): boolean {
    if (this.#rate.take(messages)) return true;
    this.fail(CLOSE.policy, "too many messages");
    return false;
  }

  /** Called off when the connection ends. */
  protected later(ms: number, call: () => void): () => void {
    const cancel = this.clock.after(ms, call);
    this.#cancels.push(cancel);
    return cancel;
  }

  /** Begins to close it; the first reason counts. */
  protected fail(code: CloseCode, reason: string, cause?: unknown): void {
    if (this.#end || this.socket.readyState === this.socket.CLOSED) return;
    const told = printable(reason);
    this.#end = { code, reason: told, by: "us", ...(cause !== undefined && { cause }) };
    this.socket.close(code, told);
    this.later(this.limits.closeMs, () => this.socket.terminate());
  }

  /** Handlers as their owner makes them; an owner that fails ends the connection. */
  protected opened<H>(open: () => H, none: H): H {
    try {
      return open();
    } catch (error) {
      this.failFor(error);
      return none;
    }
  }

  /** Ends it for what was thrown while a message was handled. */
  protected failFor(error: unknown): void {
    const code = error instanceof ClusterError ? error.code : undefined;
    if (code === "frame_invalid" || code === "message_invalid")
      this.fail(CLOSE.messageInvalid, "message invalid", error);
    else if (code === "protocol_violated") this.fail(CLOSE.policy, "protocol violated", error);
    else this.fail(CLOSE.internal, "internal error", error);
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#end) return;
    this.#hasHeard = true;
    // the binary type is never set to another
    const bytes = data as Buffer;
    try {
      this.onLife();
      this.receive(bytes, isBinary);
    } catch (error) {
      this.failFor(error);
    }
  }

  #isLife(): boolean {
    if (!this.isOpen || !this.bear(1)) return false;
    this.onLife();
    return true;
  }

  /** `ws` has sent a close frame already when it is a frame that was wrong. */
  #onError(error: Error & { readonly code?: string }): void {
    const code = closeCodeOf(error);
    if (code === undefined) {
      this.#end ??= { code: CLOSE.abnormal, reason: "socket failed", by: "network", cause: error };
      this.socket.terminate();
      return;
    }
    this.#end ??= { code, reason: error.message, by: "us", cause: error };
    this.later(this.limits.closeMs, () => this.socket.terminate());
  }

  #awaitFirst(): void {
    this.later(this.limits.firstMessageMs, () => {
      if (!this.#hasHeard) this.fail(CLOSE.firstMessageLate, "no first message in time");
    });
  }
}

function endOf(code: number, reason: string): ConnectionEnd {
  if (code === CLOSE.abnormal) return { code, reason: "connection lost", by: "network" };
  return { code, reason, by: "peer" };
}
