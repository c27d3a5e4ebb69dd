/** Dials the control plane of a node, and knows it too before it says anything. */
import { connect } from "node:tls";
import { type ClientOptions, WebSocket } from "ws";
import type { ClusterError } from "../error.ts";
import type { ControlCodec } from "../protocol/control-message.ts";
import { answererOf, refused, tlsTo, unreachable, wrongNode } from "./answering-node.ts";
import { systemClock } from "./clock.ts";
import { ControlConnection, type ControlOpener } from "./control-connection.ts";
import { type DialOptions, headersOf } from "./dialling.ts";
import { PATHS } from "./handshake.ts";
import { frameLimits, limitsOf } from "./limits.ts";
import { addressOf } from "./node-address.ts";
import { WebSocketLink } from "./web-socket-link.ts";

/** As {@link DialOptions}, for /control. */
export interface DialControlOptions<M> extends DialOptions {
  readonly codec: ControlCodec<M>;
  readonly open: ControlOpener<M>;
}

/**
 * Opens the control plane to ws://host:port or wss://host:port. Handlers are made before the first message is read.
 *
 * Errors    `argument_invalid`; `token_invalid`; `tls_invalid`; `peer_unreachable`: nobody answers, or not in time, or
 *           TLS fails; `peer_unauthorized`: it refuses the token or the ticket; `peer_forbidden`: it refuses the run, the
 *           role or the node id; `peer_not_ready`: its epoch is older than the ticket's; `peer_busy`: it is full;
 *           `peer_invalid`: it is no node of this run, or not the one that was meant.
 */
export async function dialControl<M>(
  url: string,
  options: DialControlOptions<M>,
): Promise<ControlConnection<M>> {
  const { runId, token, role = "trainer", signal, clock = systemClock, codec, open } = options;
  const limits = limitsOf(options.limits);
  const address = addressOf(url);
  const headers = headersOf(options);
  const tls = address.protocol === "wss:" ? await tlsFor(options) : {};
  if (signal?.aborted) throw unreachable(address.host, "given up");
  let key = "";
  const socket = new WebSocket(`${address.origin}${PATHS.control}`, {
    ...tls,
    ...frameLimits(limits.controlBytes, limits),
    followRedirects: false,
    headers,
    finishRequest: (request) => {
      key = String(request.getHeader("sec-websocket-key"));
      request.end();
    },
  });
  return new Promise((resolve, reject) => {
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
    let answering: string | undefined;
    socket.on("error", (error: NodeJS.ErrnoException) => {
      giveUp(unreachable(address.host, error.code ?? "no WebSocket there"));
    });
    socket.on("unexpected-response", (_request, response) => {
      giveUp(refused(address.host, response.statusCode ?? 0));
    });
    socket.on("upgrade", (response) => {
      const asked = { key, by: options.nodeId, what: "control", runId } as const;
      answering = answererOf(response, token.bearer(role), asked, options.peer);
      if (answering === undefined) giveUp(wrongNode(address.host));
    });
    socket.on("open", () => {
      settle();
      const peer = {
        nodeId: answering ?? "",
        role: "trainer" as const,
        plane: "control" as const,
        address: address.host,
      };
      const link = new WebSocketLink(socket);
      resolve(new ControlConnection({ link, peer, limits, clock, isServer: false }, codec, open));
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
