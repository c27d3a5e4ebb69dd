/** Makes plain HTTP requests of nodes, each of whom proves that it is of the run before anything is taken from it. */
import { randomBytes } from "node:crypto";
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type OutgoingHttpHeaders,
  type RequestOptions,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { ClusterError } from "../error.ts";
import { checksumOf } from "../protocol/checksum.ts";
import { tlsTo } from "./answering-node.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { DialOptions } from "./dialling.ts";
import { exchange, type NodeAnswer } from "./exchange.ts";
import { type Asked, HEADER, TRANSPORT_VERSION } from "./handshake.ts";
import { HEADERS_BYTES } from "./http-server.ts";
import { checkNodeId, checkRunId } from "./identity.ts";
import { limitsOf, type TransportLimits } from "./limits.ts";
import { addressOf } from "./node-address.ts";
import { type Method, PATH } from "./route.ts";
import type { Secret } from "./secret.ts";

/** Who asks. */
export type NodeClientOptions = Omit<DialOptions, "peer" | "signal">;

/** What is asked of a node. */
export interface NodeRequest {
  readonly method: Method;
  /** As `/status`. */
  readonly path: `/${string}`;
  /** Which node is to answer. Default: as when it is dialled. */
  readonly peer?: string;
  /** Bytes, or what JSON is made of; of a POST only. */
  readonly body?: Uint8Array | object;
  /** The bytes that are wanted, the last one exclusive. */
  readonly range?: { readonly from: number; readonly to: number };
  /** Milliseconds until the answer begins. Default: the limit `stallMs`. */
  readonly timeoutMs?: number;
  /** Bytes of the answer at most. Default: the limit `controlBytes`, or what there is room for in `into`. */
  readonly mostBytes?: number;
  /** Where the bytes of the answer go. What is there when the answer fails is anything. */
  readonly into?: Uint8Array;
  readonly signal?: AbortSignal;
}

/** Milliseconds that a socket is kept for the next request: well below what the other end does. */
const IDLE_MS = 5_000;

/** An agent's sockets are of one node each: a certificate is checked when a socket is opened, and never again. */
class TlsAgent extends HttpsAgent {
  override getName(options: RequestOptions & { readonly peer?: string }): string {
    return `${super.getName(options)}:${options.peer ?? ""}`;
  }
}

/** See the file's head. Sockets are kept for the next request, and keep no process alive. */
export class NodeClient implements Disposable {
  readonly #options: NodeClientOptions;
  readonly #limits: TransportLimits;
  readonly #clock: Clock;
  readonly #plain: HttpAgent;
  readonly #tls: TlsAgent;
  readonly #closing = new AbortController();

  /** Errors    `argument_invalid`. */
  constructor(options: NodeClientOptions) {
    checkRunId(options.runId);
    checkNodeId(options.nodeId);
    this.#options = options;
    this.#limits = limitsOf(options.limits);
    this.#clock = options.clock ?? systemClock;
    const kept = { keepAlive: true, timeout: IDLE_MS, maxSockets: this.#limits.requestsPerNode };
    this.#plain = new HttpAgent(kept);
    this.#tls = new TlsAgent({ ...kept, maxCachedSessions: 0 });
  }

  /**
   * Asks the node at ws://host:port or wss://host:port. A GET whose socket has died while it was kept is made once more.
   *
   * Errors    `argument_invalid`; `token_invalid`; `tls_invalid`; with the suspect, if a peer was meant: `peer_unreachable`:
   *           nobody answers, or not in time, or TLS fails, or it was given up; `peer_unauthorized`, `peer_forbidden`,
   *           `peer_busy`, `message_invalid` (the body is too long): it refuses; `peer_invalid`: it is no node of this run, or
   *           not the one that was meant, or knows no such path; `peer_stalled`, `connection_closed`: the answer does not come
   *           whole; `protocol_violated`: it is longer than it may be.
   */
  async ask(address: string, request: NodeRequest): Promise<NodeAnswer> {
    const { token, role = "trainer", runId, nodeId } = this.#options;
    const { method, path, peer, into, signal, timeoutMs = this.#limits.stallMs } = request;
    const { stallMs, controlBytes } = this.#limits;
    const url = addressOf(address);
    checkRequest(request);
    const bearer = token.bearer(role);
    const body = bytesOf(request.body);
    const asked: Asked = {
      ...{ key: randomBytes(16).toString("hex"), by: nodeId },
      ...{ what: `${method} ${path}` as const, runId },
    };
    const tls = url.protocol === "wss:" ? await tlsTo(peer, this.#options.tls) : undefined;
    for (;;) {
      const outgoing = this.#open(url, request, { asked, bearer, body, tls });
      const answer = await exchange(
        outgoing,
        {
          ...{ host: url.host, bearer, asked, timeoutMs, stallMs, clock: this.#clock },
          mostBytes: into?.length ?? request.mostBytes ?? controlBytes,
          signals: [this.#closing.signal, ...(signal ? [signal] : [])],
          ...(peer !== undefined && { peer }),
          ...(into && { into }),
        },
        body,
      );
      if (answer !== "stale") return answer;
    }
  }

  /** Ends all that is under way. */
  [Symbol.dispose](): void {
    this.#closing.abort();
    this.#plain.destroy();
    this.#tls.destroy();
  }

  #open(
    { hostname, port, protocol }: URL,
    { method, path, peer, range }: NodeRequest,
    { asked, bearer, body, tls }: Sent,
  ): ClientRequest {
    const { runId, nodeId } = this.#options;
    const headers: OutgoingHttpHeaders = {
      Authorization: `Bearer ${bearer.reveal()}`,
      [HEADER.version]: TRANSPORT_VERSION,
      [HEADER.run]: runId,
      [HEADER.node]: nodeId,
      [HEADER.nonce]: asked.key,
      ...(range && { Range: `bytes=${range.from}-${range.to - 1}` }),
      ...(body && { "Content-Length": body.length, [HEADER.checksum]: checksumOf(body) }),
    };
    // an address of IPv6 stands in brackets in a URL only
    const host = hostname.replace(/^\[|\]$/g, "");
    const options = { host, method, path, headers, maxHeaderSize: HEADERS_BYTES };
    if (protocol === "ws:")
      return httpRequest({ ...options, port: port || 80, agent: this.#plain });
    const own = { ...options, port: port || 443, agent: this.#tls, peer, ...tls };
    return httpsRequest(own);
  }
}

/** What a request is made with. */
interface Sent {
  readonly asked: Asked;
  readonly bearer: Secret;
  readonly body: Uint8Array | undefined;
  readonly tls: ConnectionOptions | undefined;
}

function bytesOf(body: Uint8Array | object | undefined): Uint8Array | undefined {
  if (body === undefined || body instanceof Uint8Array) return body;
  return Buffer.from(JSON.stringify(body));
}

function checkRequest({ path, range }: NodeRequest): void {
  const isRange = !range || (Number.isSafeInteger(range.from) && range.from >= 0);
  const isSome = !range || (Number.isSafeInteger(range.to) && range.to > range.from);
  if (PATH.test(path) && isRange && isSome) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "no node can be asked this.",
    got: `${JSON.stringify(path).slice(0, 80)}${range ? `, bytes ${range.from} to ${range.to}` : ""}`,
    why: "a path is of segments of letters, digits, dots, dashes and underscores, and a range has at least one byte",
    fix: "ask for a route of the node",
  });
}
