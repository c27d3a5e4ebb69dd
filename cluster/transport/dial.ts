/** Dials a node, and knows it too before it says anything. */
import type { IncomingMessage } from "node:http";
import { type ConnectionOptions, checkServerIdentity, connect, type TLSSocket } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import { ClusterError, type ClusterErrorCode } from "../error.ts";
import type { ControlCodec } from "../protocol/control-message.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ConnectionParts } from "./connection.ts";
import { ControlConnection, type ControlOpener } from "./control-connection.ts";
import { HEADER, PATHS, proofOf, TRANSPORT_VERSION } from "./handshake.ts";
import { checkNodeId, checkRunId, isNodeId, type Plane, type Role } from "./identity.ts";
import { frameLimits, limitsOf, type TransportLimits } from "./limits.ts";
import { HEADER_BYTES, type RingOpener, RingReceiver } from "./ring-connection.ts";
import { isEqual } from "./secret.ts";
import { namesOf, type TlsFiles, tlsOf } from "./tls.ts";
import type { Token } from "./token.ts";

/** Who dials, and whom. */
export interface DialOptions {
  readonly runId: string;
  readonly nodeId: string;
  /** Which node is to answer. Default: any of the run; with TLS, one whose certificate has the name that is dialled. */
  readonly peer?: string;
  /** Default: trainer. */
  readonly role?: Role;
  readonly token: Token;
  /** Certificates, for wss:// only. */
  readonly tls?: Partial<TlsFiles>;
  readonly limits?: Partial<TransportLimits>;
  /** Default: this machine's. */
  readonly clock?: Clock;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/** As {@link DialOptions}, for /control. */
export interface DialControlOptions<M> extends DialOptions {
  readonly codec: ControlCodec<M>;
  readonly open: ControlOpener<M>;
}

/** As {@link DialOptions}, for /ring. */
export interface DialRingOptions extends DialOptions {
  /** Single-use: {@link mintTicket}. */
  readonly ticket: string;
  readonly open: RingOpener;
}

/**
 * Opens the control plane to ws://host:port or wss://host:port. Handlers are made before the first message is read.
 *
 * Errors    `argument_invalid`; `token_invalid`; `tls_invalid`; `peer_unreachable`: nobody answers, or not in time, or
 *           TLS fails; `peer_unauthorized`: it refuses the token or the ticket; `peer_forbidden`: it refuses the run, the
 *           role or the node id; `peer_not_ready`: its epoch is older than the ticket's; `peer_busy`: it is full;
 *           `peer_invalid`: it is no node of this run, or not the one that was meant.
 */
export function dialControl<M>(
  url: string,
  options: DialControlOptions<M>,
): Promise<ControlConnection<M>> {
  const { codec, open } = options;
  const { controlBytes } = limitsOf(options.limits);
  return dial(url, options, { plane: "control", maxPayload: controlBytes }, (parts) => {
    return new ControlConnection(parts, codec, open);
  });
}

/** Opens the ring plane to the predecessor, whose chunks then come. Errors: as {@link dialControl}. */
export function dialRing(url: string, options: DialRingOptions): Promise<RingReceiver> {
  const maxPayload = Math.max(limitsOf(options.limits).chunkBytes, HEADER_BYTES);
  const { ticket, open } = options;
  return dial(url, options, { plane: "ring", maxPayload, ticket }, (parts) => {
    return new RingReceiver(parts, open);
  });
}

interface Target {
  readonly plane: Plane;
  readonly maxPayload: number;
  readonly ticket?: string;
}

async function dial<C>(
  url: string,
  options: DialOptions,
  target: Target,
  make: (parts: ConnectionParts) => C,
): Promise<C> {
  const { runId, nodeId, role = "trainer", token, signal, clock = systemClock } = options;
  const limits = limitsOf(options.limits);
  const { plane, maxPayload, ticket } = target;
  const address = addressOf(url);
  const bearer = token.bearer(role);
  const tls = address.protocol === "wss:" ? await tlsFor(options) : {};
  if (signal?.aborted) throw unreachable(address.host, "given up");
  let key = "";
  const socket = new WebSocket(`${address.origin}${PATHS[plane]}`, {
    ...tls,
    ...frameLimits(maxPayload, limits),
    followRedirects: false,
    headers: {
      Authorization: `Bearer ${bearer.reveal()}`,
      [HEADER.version]: TRANSPORT_VERSION,
      [HEADER.run]: checkRunId(runId),
      [HEADER.node]: checkNodeId(nodeId),
      ...(ticket !== undefined && { [HEADER.ticket]: ticket }),
    },
    finishRequest: (request) => {
      key = String(request.getHeader("sec-websocket-key"));
      request.end();
    },
  });
  return new Promise<C>((resolve, reject) => {
    const giveUp = (error: ClusterError): void => {
      reject(error);
      settle();
      socket.on("error", () => {});
      socket.terminate();
    };
    const onAbort = (): void => giveUp(unreachable(address.host, "given up"));
    const cancel = clock.after(limits.handshakeMs, () => {
      giveUp(unreachable(address.host, `no answer in ${limits.handshakeMs} ms`));
    });
    const settle = (): void => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
      socket.removeAllListeners();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    let answering = "";
    socket.on("error", (error: NodeJS.ErrnoException) => {
      giveUp(unreachable(address.host, error.code ?? "no WebSocket there"));
    });
    socket.on("unexpected-response", (_request, response) => {
      giveUp(refused(address.host, response.statusCode ?? 0));
    });
    socket.on("upgrade", (response) => {
      const proof = proofOf(bearer, { key, plane, runId }, nameOf(response));
      if (isEqual(String(response.headers[HEADER.proof]), proof)) answering = nameOf(response);
      const isMeant = answering !== "" && answering === (options.peer ?? answering);
      if (!isMeant || !isCertified(response, answering)) giveUp(wrongNode(address.host));
    });
    socket.on("open", () => {
      settle();
      const peer = { nodeId: answering, role: "trainer" as const, plane, address: address.host };
      resolve(make({ socket, peer, limits, clock, isServer: false }));
    });
  });
}

/** Addresses carry no path, query or name of a user: those are where secrets leak from. */
function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  const isPlain =
    address !== undefined &&
    /^wss?:$/.test(address.protocol) &&
    [address.username, address.password, address.search, address.hash].every((part) => !part) &&
    (address.pathname === "/" || address.pathname === "");
  if (isPlain) return address;
  throw new ClusterError({
    code: "argument_invalid",
    what: "this is no address of a node.",
    got: address ? `${address.protocol}//${address.host} with more to it` : "no URL",
    why: "it is ws:// or wss://, a host and a port, and nothing else",
    fix: "give the address that the node printed, and the token in a file",
  });
}

async function tlsFor({ tls = {}, peer }: DialOptions): Promise<ClientOptions> {
  const identity: ConnectionOptions = {
    ...(await tlsOf(tls)),
    rejectUnauthorized: true,
    checkServerIdentity: (host, certificate) => {
      if (peer === undefined) return checkServerIdentity(host, certificate);
      return namesOf(certificate).includes(peer) ? undefined : new Error("another node's");
    },
  };
  // ws would hand these on as they are, but for its types, in which the check of names says yes or no
  return {
    ...identity,
    createConnection: (options: object) => connect({ ...options, ...identity, path: undefined }),
  } as unknown as ClientOptions;
}

function nameOf(response: IncomingMessage): string {
  const name = response.headers[HEADER.node];
  return typeof name === "string" && isNodeId(name) ? name : "";
}

/** With TLS, a node goes by the names of its certificate only. */
function isCertified({ socket }: IncomingMessage, nodeId: string): boolean {
  if (!("getPeerCertificate" in socket)) return true;
  return namesOf((socket as TLSSocket).getPeerCertificate()).includes(nodeId);
}

const OF_STATUS: Readonly<Record<number, ClusterErrorCode>> = {
  401: "peer_unauthorized",
  403: "peer_forbidden",
  425: "peer_not_ready",
  429: "peer_busy",
  503: "peer_busy",
};

const FIXES: Readonly<Partial<Record<ClusterErrorCode, string>>> = {
  peer_unauthorized:
    "give all nodes the token of the same run, and a fresh ticket to each who dials",
  peer_forbidden: "check the run id, the role and the node id, which a certificate must name",
  peer_not_ready: "dial again in a moment",
  peer_busy: "dial again later",
};

function refused(host: string, status: number): ClusterError {
  const code = OF_STATUS[status] ?? "peer_invalid";
  return new ClusterError({
    code,
    what: "the node does not let us in.",
    got: `${host}: status ${status}`,
    fix: FIXES[code] ?? "check that a node of the same version of forge-gpu listens there",
  });
}

function wrongNode(host: string): ClusterError {
  return new ClusterError({
    code: "peer_invalid",
    what: "another answered than the node that was dialled.",
    got: host,
    why: "it cannot prove that it knows the token, or goes by another name",
    fix: "check the address, and that the node is of this run",
  });
}

function unreachable(host: string, why: string): ClusterError {
  return new ClusterError({
    code: "peer_unreachable",
    what: "the node cannot be reached.",
    got: `${host}: ${why}`,
    fix: "check that it runs, that the address is right, and both ends' certificates if it is wss://",
  });
}
