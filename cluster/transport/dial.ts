/** Dials a node, and knows it too before it says anything. */
import { connect } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import type { ClusterError } from "../error.ts";
import type { ControlCodec } from "../protocol/control-message.ts";
import { answererOf, refused, tlsTo, unreachable, wrongNode } from "./answering-node.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ConnectionParts } from "./connection.ts";
import { ControlConnection, type ControlOpener } from "./control-connection.ts";
import { HEADER, PATHS, TRANSPORT_VERSION } from "./handshake.ts";
import { checkNodeId, checkRunId, type Plane, type Role } from "./identity.ts";
import { frameLimits, limitsOf, type TransportLimits } from "./limits.ts";
import { addressOf } from "./node-address.ts";
import { HEADER_BYTES, type RingOpener, RingReceiver } from "./ring-connection.ts";
import type { TlsFiles } from "./tls.ts";
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
      const asked = { key, what: plane, runId };
      answering = answererOf(response, bearer, asked, options.peer) ?? "";
      if (answering === "") giveUp(wrongNode(address.host));
    });
    socket.on("open", () => {
      settle();
      const peer = { nodeId: answering, role: "trainer" as const, plane, address: address.host };
      resolve(make({ socket, peer, limits, clock, isServer: false }));
    });
  });
}

async function tlsFor({ tls, peer }: DialOptions): Promise<ClientOptions> {
  const identity = await tlsTo(peer, tls);
  // ws would hand these on as they are, but for its types, in which the check of names says yes or no
  return {
    ...identity,
    createConnection: (options: object) => connect({ ...options, ...identity, path: undefined }),
  } as unknown as ClientOptions;
}
