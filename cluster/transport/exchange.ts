/** One plain request of a node, and its answer. */
import { setMaxListeners } from "node:events";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { ClusterError } from "../error.ts";
import { answererOf, refused, unreachable, wrongNode } from "./answering-node.ts";
import type { Clock } from "./clock.ts";
import { type Asked, HEADER } from "./handshake.ts";
import { isIntact } from "./http-body.ts";
import type { Secret } from "./secret.ts";

/** What a node answers: whatever its status, it has proved that it knows the token. */
export interface NodeAnswer {
  readonly nodeId: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** Errors    `message_invalid` when the body is no JSON. */
  json(): unknown;
}

/** What an answer is held to. */
export interface Expectation {
  /** Where it was sent, for errors. */
  readonly host: string;
  readonly peer?: string;
  readonly bearer: Secret;
  readonly asked: Asked;
  /** Milliseconds until the answer begins. */
  readonly timeoutMs: number;
  /** Milliseconds between two pieces of it. */
  readonly stallMs: number;
  readonly clock: Clock;
  readonly mostBytes: number;
  readonly into?: Uint8Array;
  /** Give it up. */
  readonly signals: readonly AbortSignal[];
}

/** What a socket says that the other end closed while it was kept. */
const STALE = new Set(["ECONNRESET", "EPIPE"]);

/** Sends the body, if any; "stale" when the request was a GET on a kept socket that was closed already. */
export function exchange(
  outgoing: ClientRequest,
  expected: Expectation,
  body?: Uint8Array,
): Promise<NodeAnswer | "stale"> {
  return new Promise((resolve, reject) => {
    new Exchange(outgoing, expected, { resolve, reject }).begin(body);
  });
}

interface Outcome {
  resolve(answer: NodeAnswer | "stale"): void;
  reject(error: ClusterError): void;
}

class Exchange {
  readonly #outgoing: ClientRequest;
  readonly #expected: Expectation;
  readonly #outcome: Outcome;
  readonly #pieces: Uint8Array[] = [];
  readonly #onAbort = (): void => this.#fail(this.#unreachable("given up"));
  #length = 0;
  #isOver = false;
  #cancel = (): void => {};

  constructor(outgoing: ClientRequest, expected: Expectation, outcome: Outcome) {
    this.#outgoing = outgoing;
    this.#expected = expected;
    this.#outcome = outcome;
  }

  begin(body: Uint8Array | undefined): void {
    const { signals, timeoutMs } = this.#expected;
    const outgoing = this.#outgoing;
    outgoing.on("error", (error: NodeJS.ErrnoException) => this.#onError(error));
    outgoing.once("response", (response) => this.#onResponse(response));
    outgoing.once("upgrade", (_response, socket) => {
      socket.destroy();
      this.#fail(this.#unreachable("no answer to what was asked"));
    });
    // as many requests as there are may be given up at once
    setMaxListeners(0, ...signals);
    for (const signal of signals) signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#await(timeoutMs, () => this.#unreachable(`no answer in ${timeoutMs} ms`));
    if (signals.some(({ aborted }) => aborted)) this.#onAbort();
    else outgoing.end(body);
  }

  #onError(error: NodeJS.ErrnoException): void {
    const { reusedSocket, method } = this.#outgoing;
    const isStale = reusedSocket && method === "GET" && STALE.has(error.code ?? "");
    if (isStale) {
      this.#settle();
      this.#outcome.resolve("stale");
    } else this.#fail(this.#unreachable(error.code ?? "no HTTP there"));
  }

  #onResponse(response: IncomingMessage): void {
    const { host, peer, bearer, asked, mostBytes } = this.#expected;
    response.on("error", () => this.#fail(this.#broken()));
    const status = response.statusCode ?? 0;
    const isProved = response.headers[HEADER.proof] !== undefined;
    const nodeId = answererOf(response, bearer, asked, peer);
    const isLong = Number(response.headers["content-length"] ?? 0) > mostBytes;
    if (!isProved) this.#fail(refused(host, status, peer));
    else if (nodeId === undefined) this.#fail(wrongNode(host, peer));
    else if (isLong) this.#fail(this.#tooLong());
    else this.#collect(response, nodeId);
  }

  #collect(response: IncomingMessage, nodeId: string): void {
    this.#awaitMore();
    response.on("data", (piece: Uint8Array) => this.#take(piece));
    response.once("end", () => {
      if (!response.complete) return;
      const body = this.#body();
      if (!isIntact(response.headers, body)) {
        this.#fail(this.#broken("bytes have changed on their way"));
        return;
      }
      this.#settle();
      this.#outcome.resolve(answerOf(nodeId, response, body));
    });
    response.once("close", () => {
      if (!response.complete) this.#fail(this.#broken());
    });
  }

  #take(piece: Uint8Array): void {
    const { into, mostBytes } = this.#expected;
    if (this.#isOver) return;
    if (this.#length + piece.length > mostBytes) {
      this.#fail(this.#tooLong());
      return;
    }
    if (into) into.set(piece, this.#length);
    else this.#pieces.push(piece);
    this.#length += piece.length;
    this.#awaitMore();
  }

  #body(): Uint8Array {
    return this.#expected.into?.subarray(0, this.#length) ?? Buffer.concat(this.#pieces);
  }

  #awaitMore(): void {
    const { stallMs } = this.#expected;
    this.#await(stallMs, () =>
      this.#error(
        "peer_stalled",
        "the node does not go on with its answer.",
        `nothing in ${stallMs} ms`,
      ),
    );
  }

  #await(ms: number, late: () => ClusterError): void {
    this.#cancel();
    this.#cancel = this.#expected.clock.after(ms, () => this.#fail(late()));
  }

  /** What comes after the first end of it is nothing. */
  #fail(error: ClusterError): void {
    this.#settle();
    this.#outgoing.destroy();
    this.#outcome.reject(error);
  }

  #settle(): void {
    this.#isOver = true;
    this.#cancel();
    for (const signal of this.#expected.signals) {
      signal.removeEventListener("abort", this.#onAbort);
    }
  }

  #unreachable(why: string): ClusterError {
    return unreachable(this.#expected.host, why, this.#expected.peer);
  }

  #broken(how = "it does not come to its end"): ClusterError {
    const got = `${how}, ${this.#length} bytes`;
    return this.#error("connection_closed", "the node's answer has not come as it was sent.", got);
  }

  #tooLong(): ClusterError {
    return this.#error(
      "protocol_violated",
      "the node's answer is longer than it may be.",
      `more than ${this.#expected.mostBytes} bytes`,
    );
  }

  #error(
    code: "peer_stalled" | "connection_closed" | "protocol_violated",
    what: string,
    got: string,
  ): ClusterError {
    const { host, peer } = this.#expected;
    const suspect = peer !== undefined && { suspect: peer };
    return new ClusterError({
      code,
      what,
      got: `${host}: ${got}`,
      fix: "ask another node, or again later",
      ...suspect,
    });
  }
}

function answerOf(
  nodeId: string,
  { statusCode = 0, headers }: IncomingMessage,
  body: Uint8Array,
): NodeAnswer {
  return { nodeId, status: statusCode, headers, body, json: () => parsed(body) };
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new ClusterError({
      code: "message_invalid",
      what: "the node's answer is no JSON.",
      got: `${body.length} bytes`,
      fix: "check that both nodes run the same version of forge-gpu",
      cause,
    });
  }
}
