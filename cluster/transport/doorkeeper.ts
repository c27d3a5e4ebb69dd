/** Sockets that have not yet said who they are: few, and not for long. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "./clock.ts";
import type { Refusal } from "./handshake.ts";
import type { TransportLimits } from "./limits.ts";

/** Milliseconds beyond {@link TransportLimits.handshakeMs} at which a socket is gone whatever it has said. */
const GRACE = 1_000;

interface Stranger {
  readonly socket: Socket;
  readonly address: string;
  readonly cancel: () => void;
}

/** Watches sockets from their first byte until they are known, or gone. */
export class Doorkeeper {
  readonly #limits: TransportLimits;
  readonly #clock: Clock;
  readonly #strangers = new Map<string, Stranger>();

  constructor(limits: TransportLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  /** Watches a socket; why it may not even stay for that, if so. */
  watch(socket: Socket): Refusal | undefined {
    const address = socket.remoteAddress;
    // it has gone already
    if (address === undefined) return undefined;
    const { pending, pendingPerAddress, handshakeMs } = this.#limits;
    if (this.#strangers.size >= pending) return { status: 503, reason: "too many strangers" };
    const fromThere = [...this.#strangers.values()].filter((other) => other.address === address);
    if (fromThere.length >= pendingPerAddress) {
      return { status: 429, reason: "too many strangers of your address" };
    }
    const cancel = this.#clock.after(handshakeMs + GRACE, () => socket.destroy());
    const key = endpointOf(socket);
    this.#strangers.set(key, { socket, address, cancel });
    socket.once("close", () => this.#forget(key));
    return undefined;
  }

  /** The socket is known now. With TLS it is another object than the one watched, at the same endpoint. */
  known(socket: Socket): void {
    this.#forget(endpointOf(socket));
  }

  /** Shows all out. */
  clear(): void {
    for (const { socket } of this.#strangers.values()) socket.destroy();
  }

  #forget(key: string): void {
    this.#strangers.get(key)?.cancel();
    this.#strangers.delete(key);
  }
}

/** Address and port of the other end. */
export function endpointOf(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}`;
}

/** Answers in plain HTTP, and is done with the socket. */
export function refuse(socket: Duplex, { status, reason }: Refusal): void {
  socket.on("error", () => {});
  socket.once("finish", () => socket.destroy());
  const upgrade =
    status === 426
      ? "Connection: upgrade, close\r\nUpgrade: websocket, forge-ring"
      : "Connection: close";
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${upgrade}\r\nSec-WebSocket-Version: 13\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${reason.length}\r\n\r\n${reason}`,
  );
}
