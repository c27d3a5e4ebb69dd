/** What the two planes have in common: a connection that is bounded, watched, and surely closed. */
import { ClusterError } from "../error.ts";
import type { Clock } from "./clock.ts";
import { CLOSE, type CloseCode, type ConnectionEnd, printable } from "./close-code.ts";
import type { Plane, Role } from "./identity.ts";
import type { TransportLimits } from "./limits.ts";

/** Who is at the other end. */
export interface Peer {
  readonly nodeId: string;
  readonly role: Role;
  readonly plane: Plane;
  /** Address and port. */
  readonly address: string;
}

/** What a connection hears of its link. */
export interface LinkEvents {
  /** The socket is gone: with the peer's code and reason, or {@link CLOSE.abnormal} when it has said nothing. */
  gone(code: number, reason: string): void;
  /** Nothing more can come; with a code when the peer has been told so, because what it sent was wrong. */
  broken(error: Error, code?: number): void;
}

/** What speaks on the socket of a connection: WebSocket on the control plane, frames on the ring. */
export interface Link {
  /** Neither end has begun to close it. */
  readonly isOpen: boolean;
  readonly isGone: boolean;
  /** Bytes that wait in the socket to be sent. */
  readonly bufferedBytes: number;
  /** Called once, before anything is received. */
  watch(events: LinkEvents): void;
  /** Tells the peer, behind what was sent before, and waits for its answer. */
  close(code: CloseCode, reason: string): void;
  terminate(): void;
}

/** What a connection is made of. */
export interface ConnectionParts<L extends Link> {
  readonly link: L;
  readonly peer: Peer;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  /** Whether the peer has dialled. */
  readonly isServer: boolean;
}

/** An open connection. Its end is told by {@link closed} alone, which never rejects. */
export abstract class Connection<L extends Link = Link> {
  readonly peer: Peer;
  /** How it ended, once its socket is gone. */
  readonly closed: Promise<ConnectionEnd>;
  protected readonly link: L;
  protected readonly limits: TransportLimits;
  protected readonly clock: Clock;
  readonly #cancels: (() => void)[] = [];
  #end: ConnectionEnd | undefined;
  #hasHeard = false;

  constructor({ link, peer, limits, clock, isServer }: ConnectionParts<L>) {
    this.peer = peer;
    this.link = link;
    this.limits = limits;
    this.clock = clock;
    this.closed = new Promise((resolve) => {
      link.watch({
        gone: (code, reason) => {
          this.#end ??= endOf(code, reason);
          for (const cancel of this.#cancels) cancel();
          resolve(this.#end);
          this.onEnd(this.#end);
        },
        broken: (error, code) => this.#onBroken(error, code),
      });
    });
    if (isServer) this.#awaitFirst();
  }

  /** Whether messages can be sent: neither end has begun to close it. */
  get isOpen(): boolean {
    return this.#end === undefined && this.link.isOpen;
  }

  /** Bytes that wait in the socket to be sent. */
  get bufferedBytes(): number {
    return this.link.bufferedBytes;
  }

  /** Ends it. What was sent before still arrives, if the peer reads it in time. Resolves when the socket is gone. */
  close(code: CloseCode = CLOSE.normal, reason = ""): Promise<ConnectionEnd> {
    this.fail(code, reason);
    return this.closed;
  }

  /** Ends it as {@link close}, but waits for nobody. */
  kill(code: CloseCode, reason: string): void {
    this.fail(code, reason);
    this.link.terminate();
  }

  /** The socket is gone. */
  protected abstract onEnd(end: ConnectionEnd): void;

  /** Called off when the connection ends. */
  protected later(ms: number, call: () => void): () => void {
    const cancel = this.clock.after(ms, call);
    this.#cancels.push(cancel);
    return cancel;
  }

  /** Begins to close it; the first reason counts. */
  protected fail(code: CloseCode, reason: string, cause?: unknown): void {
    if (this.#end || this.link.isGone) return;
    const told = printable(reason);
    this.#end = { code, reason: told, by: "us", ...(cause !== undefined && { cause }) };
    this.link.close(code, told);
    this.later(this.limits.closeMs, () => this.link.terminate());
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

  /** Handles a message that has come; what is thrown ends the connection. After its end nothing is handled. */
  protected handle(act: () => void): void {
    if (this.#end) return;
    this.#hasHeard = true;
    try {
      act();
    } catch (error) {
      this.failFor(error);
    }
  }

  #onBroken(error: Error, code: number | undefined): void {
    if (code === undefined) {
      this.#end ??= { code: CLOSE.abnormal, reason: "socket failed", by: "network", cause: error };
      this.link.terminate();
      return;
    }
    this.#end ??= { code, reason: error.message, by: "us", cause: error };
    this.later(this.limits.closeMs, () => this.link.terminate());
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
