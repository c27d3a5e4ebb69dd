/** A WebSocket under a connection. */
import type { RawData, WebSocket } from "ws";
import { type CloseCode, closeCodeOf, printable } from "./close-code.ts";
import type { Link, LinkEvents } from "./connection.ts";

/** What comes out of a WebSocket. */
export interface WebSocketEvents {
  message(data: Buffer, isBinary: boolean): void;
  ping(data: Buffer): void;
  pong(): void;
}

export class WebSocketLink implements Link {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
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
    this.#socket.on("message", (data: RawData, isBinary) => {
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
