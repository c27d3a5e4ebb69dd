/** Answers the plain HTTP requests of a node's door, of those who have said who they are. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "./clock.ts";
import {
  type Caller,
  callerOf,
  HEADER,
  headerText,
  PATHS,
  proofOf,
  type Refusal,
  TRANSPORT_VERSION,
} from "./handshake.ts";
import { bodyOf, isIntact, sendBody, statedBytes } from "./http-body.ts";
import type { TransportLimits } from "./limits.ts";
import { Places } from "./places.ts";
import { type Method, type Route, RouteTable } from "./route.ts";
import { answerOf, type EncodedAnswer, type OnFault } from "./route-answer.ts";
import type { Token } from "./token.ts";

/** Whose reception it is, and who is told. */
export interface ReceptionOptions {
  readonly routes: readonly Route[];
  readonly runId: string;
  readonly nodeId: string;
  readonly token: Token;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  /** Names in the certificate of who is at a socket; undefined unless certificates are asked for. */
  readonly namesAt: (socket: Socket) => readonly string[] | undefined;
  /** It has said who it is. */
  readonly onKnown: (socket: Socket) => void;
  readonly onRefusal: (refusal: Refusal, socket: Socket) => void;
  readonly onFault: OnFault;
}

/** A request that will be answered. */
interface Guest extends Caller {
  readonly route: Route;
  readonly segment: string;
  readonly nonce: string;
  readonly end: () => void;
}

const NONCE = /^[0-9a-f]{32}$/;

/** See the file's head. */
export class Reception {
  readonly #options: ReceptionOptions;
  readonly #routes: RouteTable;
  readonly #places: Places;
  readonly #refused = new WeakSet<Socket>();

  /** Errors    `argument_invalid` for routes that cannot be. */
  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#routes = new RouteTable(options.routes);
    this.#places = new Places(options.limits, options.clock);
  }

  /** Sockets that have made a request, as long as they are there. */
  get guests(): number {
    return this.#places.size;
  }

  /** Answers, or refuses; never throws. */
  receive(request: IncomingMessage, response: ServerResponse): void {
    response.sendDate = false;
    response.on("error", () => {});
    // what comes after a refusal is not read, and would never be answered
    if (this.#refused.has(request.socket)) return;
    const guest = this.#admit(request);
    if ("reason" in guest) this.#refuse(request, response, guest);
    else
      this.#serve(request, response, guest)
        .catch(() => request.socket.destroy())
        .finally(guest.end);
  }

  #admit(request: IncomingMessage): Guest | Refusal {
    const { headers, socket, url = "", method = "" } = request;
    const { token, runId, namesAt, onKnown } = this.#options;
    const found = this.#routes.find(url);
    if (!found) {
      const isPlane = Object.values(PATHS).includes(url);
      if (!isPlane) return { status: 404, reason: "no such path" };
      return { status: 426, reason: "version 1 over WebSocket 13 only" };
    }
    if (headers[HEADER.version] !== TRANSPORT_VERSION)
      return { status: 426, reason: "version 1 only" };
    const names = namesAt(socket);
    const caller = callerOf({ headers, ...(names && { names }) }, { token, runId });
    if ("status" in caller) return caller;
    const nonce = headerText(headers[HEADER.nonce]);
    if (!NONCE.test(nonce)) return { status: 403, reason: "no nonce" };
    const route = found.routes.get(method);
    if (!route) return { status: 405, reason: "no such method" };
    if (!route.roles.includes(caller.role))
      return { status: 403, reason: `${route.roles.join(" or ")}s only` };
    const most = route.method === "POST" ? (route.bodyBytes ?? 0) : 0;
    const bytes = statedBytes(request) ?? most;
    if (bytes > most) return tooLong(most);
    const end = this.#places.begin(socket, caller, bytes);
    if (typeof end !== "function") return end;
    onKnown(socket);
    return { ...caller, route, segment: found.segment, nonce, end };
  }

  #refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
    this.#refused.add(request.socket);
    this.#options.onRefusal(refusal, request.socket);
    const { status, reason } = refusal;
    const isUpgrade = status === 426;
    response.writeHead(status, {
      Connection: "close",
      ...(isUpgrade && { Upgrade: "websocket" }),
      "Content-Type": "text/plain",
      "Content-Length": reason.length,
    });
    response.end(reason);
  }

  async #serve(request: IncomingMessage, response: ServerResponse, guest: Guest): Promise<void> {
    const { route, segment, role, nodeId } = guest;
    const most = route.bodyBytes ?? 0;
    const body = await bodyOf(request, most);
    if (body === "gone") return;
    if (body === "long") return this.#refuse(request, response, tooLong(most));
    if (!isIntact(request.headers, body)) {
      request.socket.destroy();
      return;
    }
    const { range } = request.headers;
    const { socket } = request;
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    socket.once("close", onClose);
    if (socket.destroyed) gone.abort();
    try {
      const { signal } = gone;
      const asked = { role, nodeId, segment, range, body, signal };
      const answer = await answerOf(route, asked, this.#options.onFault);
      if (!signal.aborted) await this.#send(request, response, guest, answer);
    } finally {
      socket.off("close", onClose);
    }
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    { role, nodeId: by, nonce, route }: Guest,
    { status, headers, body }: EncodedAnswer,
  ): Promise<void> {
    const { token, runId, nodeId, limits, clock } = this.#options;
    const what = `${route.method as Method} ${request.url as `/${string}`}` as const;
    const proof = proofOf(token.bearer(role), { key: nonce, by, what, runId }, nodeId);
    response.writeHead(status, {
      ...headers,
      "Content-Length": body.length,
      [HEADER.node]: nodeId,
      [HEADER.proof]: proof,
    });
    await sendBody(response, body, { stallMs: limits.stallMs, clock });
  }
}

function tooLong(most: number): Refusal {
  return { status: 413, reason: `${most} bytes at most` };
}
