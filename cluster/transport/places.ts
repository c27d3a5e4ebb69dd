/** Sockets that plain requests come over: so many of a node, so many of a role, and so much in their bodies. */
import type { Socket } from "node:net";
import type { Clock } from "./clock.ts";
import type { Caller, Refusal } from "./handshake.ts";
import type { TransportLimits } from "./limits.ts";
import { RateLimit } from "./rate-limit.ts";

interface Place {
  readonly caller: Caller;
  readonly rate: RateLimit;
  isBusy: boolean;
  isGone: boolean;
}

/** A socket has its place from its first request on, until it is gone and nothing that it asked for is under way. */
export class Places {
  readonly #limits: TransportLimits;
  readonly #clock: Clock;
  readonly #places = new Map<Socket, Place>();
  #bytes = 0;

  constructor(limits: TransportLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** How many there are. */
  get size(): number {
    return this.#places.size;
  }

  /** Begins a request with so many bytes of body; what is returned ends it. Or why it may not be. */
  begin(socket: Socket, caller: Caller, bytes: number): (() => void) | Refusal {
    const place = this.#places.get(socket) ?? this.#open(socket, caller);
    if ("status" in place) return place;
    const { role, nodeId } = place.caller;
    if (role !== caller.role || nodeId !== caller.nodeId)
      return { status: 403, reason: "socket of another node" };
    if (place.isBusy) return { status: 429, reason: "one request at a time" };
    if (!place.rate.take()) return { status: 429, reason: "too many requests" };
    if (this.#bytes + bytes > this.#limits.requestBytes)
      return { status: 503, reason: "too many bytes" };
    this.#bytes += bytes;
    place.isBusy = true;
    return () => {
      this.#bytes -= bytes;
      place.isBusy = false;
      if (place.isGone) this.#places.delete(socket);
    };
  }

  #open(socket: Socket, caller: Caller): Place | Refusal {
    const { requests, requestsPerNode, messagesPerSecond, messageBurst } = this.#limits;
    const ofRole = [...this.#places.values()].filter((other) => other.caller.role === caller.role);
    const ofNode = ofRole.filter((other) => other.caller.nodeId === caller.nodeId);
    if (ofNode.length >= requestsPerNode)
      return { status: 429, reason: "too many requests of your node" };
    if (ofRole.length >= requests) return { status: 503, reason: "too many requests" };
    const rate = new RateLimit(messagesPerSecond, messageBurst, this.#clock);
    const place: Place = { caller, rate, isBusy: false, isGone: false };
    this.#places.set(socket, place);
    socket.once("close", () => {
      place.isGone = true;
      if (!place.isBusy) this.#places.delete(socket);
    });
    return place;
  }
}
