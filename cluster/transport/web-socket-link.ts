/** A WebSocket under a connection. */
import { type CloseCode, closeCodeOf, printable } from "./close-code.ts";
import type { Link, LinkEvents } from "./connection.ts";

/** What is needed of a WebSocket of `ws`, whose own types are not this package's to hand on. */
export interface MessageSocket {
  readonly readyState: number;
  readonly OPEN: number;
  readonly CLOSED: number;
  readonly bufferedAmount: number;
  once(event: "close", listener: (code: number, reason: Buffer) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "message", listener: (data: unknown, isBinary: boolean) => void): unknown;
  on(event: "ping", listener: (data: Buffer) => void): unknown;
  on(event: "pong", listener: () => void): unknown;
  send(text: string): void;
  ping(): void;
  pong(data: Buffer): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

/** What comes out of a WebSocket. */
export interface WebSocketEvents {
  message(data: Buffer, isBinary: boolean): void;
  ping(data: Buffer): void;
  pong(): void;
}

export class WebSocketLink implements Link {
  readonly #socket: MessageSocket;

  constructor(socket: MessageSocket) {
    this.#socket = socket;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  get isGone(): boolean {
    return this.#socket.readyState === this.#socket.CLOSED;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  watch(events: LinkEvents): void {
    this.#socket.once("close", (code, reason) => {
      events.gone(code, printable(reason.toString("latin1")));
    });
    // ws has sent a close frame already when it is a frame that was wrong
    this.#socket.on("error", (error: Error & { readonly code?: string }) => {
      events.broken(error, closeCodeOf(error));
    });
  }

  /** Hands over what comes. */
  receive(events: WebSocketEvents): void {
    // the binary type is never set to another
    this.#socket.on("message", (data, isBinary) => {
      events.message(data as Buffer, isBinary);
    });
    this.#socket.on("ping", (data) => events.ping(data));
    this.#socket.on("pong", () => events.pong());
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  ping(): void {
    this.#socket.ping();
  }

  pong(data: Buffer): void {
    this.#socket.pong(data);
  }

  close(code: CloseCode, reason: string): void {
    this.#socket.close(code, reason);
  }

  terminate(): void {
    this.#socket.terminate();
  }
}
