/** Dials the ring of the predecessor, and knows it too before it says anything. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { ClusterError } from "../error.ts";
import { answererOf, refused, tlsTo, unreachable, wrongNode } from "./answering-node.ts";
import { systemClock } from "./clock.ts";
import { type DialOptions, headersOf } from "./dialling.ts";
import { FramedLink } from "./framed-link.ts";
import { HEADER, PATHS, PROTOCOLS } from "./handshake.ts";
import { type HttpHead, HttpHeadReader } from "./http-head.ts";
import { Intake } from "./intake.ts";
import { limitsOf } from "./limits.ts";
import { addressOf } from "./node-address.ts";
import { type RingOpener, RingReceiver } from "./ring-connection.ts";

/** As {@link DialOptions}, for /ring. */
export interface DialRingOptions extends DialOptions {
  /** Single-use: {@link mintTicket}. */
  readonly ticket: string;
  readonly open: RingOpener;
}

/** Opens the ring plane to the predecessor, whose chunks then come. Errors: as {@link dialControl}. */
export async function dialRing(url: string, options: DialRingOptions): Promise<RingReceiver> {
  const { runId, token, role = "trainer", signal, clock = systemClock, ticket, open } = options;
  const limits = limitsOf(options.limits);
  const address = addressOf(url);
  const key = randomBytes(16).toString("hex");
  const request = requestOf(address, {
    ...headersOf(options),
    ...{ [HEADER.ticket]: ticket, [HEADER.nonce]: key },
  });
  const tls = address.protocol === "wss:" ? await tlsTo(options.peer, options.tls) : undefined;
  if (signal?.aborted) throw unreachable(address.host, "given up");
  return new Promise((resolve, reject) => {
    const head = new HttpHeadReader();
    const intake = new Intake((bytes) => {
      const answer = head.read(bytes);
      if (answer) onAnswer(answer);
    });
    const socket = socketTo(address, tls, intake);
    const settle = (): void => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose);
    };
    const giveUp = (error: ClusterError): void => {
      settle();
      intake.stop();
      socket.on("error", () => {}).destroy();
      reject(error);
    };
    const onAbort = (): void => giveUp(unreachable(address.host, "given up"));
    const cancel = clock.after(limits.handshakeMs, () => {
      giveUp(unreachable(address.host, `no answer in ${limits.handshakeMs} ms`));
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    const onError = (error: NodeJS.ErrnoException): void => {
      giveUp(unreachable(address.host, error.code ?? "no node there"));
    };
    const onClose = (): void => giveUp(unreachable(address.host, "no node there"));
    socket.on("error", onError).on("close", onClose).write(request);
    const onAnswer = ({ status, headers, rest }: HttpHead): void => {
      const asked = { key, by: options.nodeId, what: "ring", runId } as const;
      const nodeId = answererOf({ headers, socket }, token.bearer(role), asked, options.peer);
      if (status === 0) giveUp(unreachable(address.host, "no node there"));
      else if (status !== 101) giveUp(refused(address.host, status));
      else if (nodeId === undefined || headers["upgrade"] !== PROTOCOLS.ring) {
        giveUp(wrongNode(address.host));
      } else {
        settle();
        const peer = { nodeId, role: "trainer", plane: "ring", address: address.host } as const;
        const link = new FramedLink(socket, intake);
        resolve(new RingReceiver({ link, peer, limits, clock, isServer: false }, open));
        intake.take(rest);
      }
    };
  });
}

/** A socket whose bytes go to an intake: without TLS, right where they belong. */
function socketTo(
  { hostname, port, protocol }: URL,
  tls: ConnectionOptions | undefined,
  intake: Intake,
): Socket {
  const host = hostname.replace(/^\[|\]$/g, "");
  const target = { host, port: Number(port || (protocol === "wss:" ? 443 : 80)), noDelay: true };
  if (tls) {
    const socket = connectTls({ ...target, ...tls });
    return socket.on("data", (bytes: Buffer) => intake.take(bytes));
  }
  const callback = (count: number): boolean => {
    intake.filled(count);
    return true;
  };
  return connect({ ...target, onread: { buffer: () => intake.room, callback } });
}

function requestOf({ host }: URL, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ ...headers, Connection: "Upgrade", Upgrade: PROTOCOLS.ring });
  return [
    `GET ${PATHS.ring} HTTP/1.1`,
    `Host: ${host}`,
    ...lines.map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");
}
