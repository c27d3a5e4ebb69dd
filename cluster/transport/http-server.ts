/** The HTTP(S) server under a listener, and where it listens. */
import { lookup } from "node:dns/promises";
import { createServer, type Server, type ServerOptions } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { ClusterError } from "../error.ts";
import type { TransportLimits } from "./limits.ts";
import { type TlsFiles, tlsOf } from "./tls.ts";

/** Bytes of the headers of a request, or of an answer. */
export const HEADERS_BYTES: number = 8 * 2 ** 10;

/** Milliseconds that a socket may idle between two plain requests; who asks lets it go well before. */
const IDLE_MS = 10_000;

/** A server that does nothing yet. Errors: `tls_invalid`. */
export async function httpServer(
  { handshakeMs, requestMs, connections, requests, pending }: TransportLimits,
  tls: TlsFiles | undefined,
): Promise<Server> {
  const options: ServerOptions = {
    maxHeaderSize: HEADERS_BYTES,
    headersTimeout: handshakeMs,
    requestTimeout: Math.max(requestMs, handshakeMs),
    keepAliveTimeout: IDLE_MS,
    // the timeouts are looked at no more often; 30 s by default
    connectionsCheckingInterval: Math.min(500, handshakeMs),
  };
  const server = tls
    ? createTlsServer({
        ...options,
        ...(await tlsOf(tls)),
        requestCert: tls.ca !== undefined,
        rejectUnauthorized: true,
        handshakeTimeout: handshakeMs,
      })
    : createServer(options);
  // some more than are let in, so that they can be told
  server.maxConnections = connections + 2 * (requests + pending);
  return server;
}

/** Whether an address is of all interfaces at once. */
export function isWildcard(address: string): boolean {
  return /^(0\.0\.0\.0|::|::ffff:0\.0\.0\.0|::ffff:0:0)$/.test(address);
}

/** The address that a host stands for. Errors: `argument_invalid` for all interfaces unless they are meant; `listen_failed`. */
export async function interfaceOf(host: string, exposeAll: boolean): Promise<string> {
  const address = await resolved(host);
  if (!isWildcard(address) || exposeAll) return address;
  throw new ClusterError({
    code: "argument_invalid",
    what: "the node would listen on all interfaces.",
    got: host,
    why: "whoever can reach the machine could then knock",
    fix: "give the address of one interface, or say that all are meant",
  });
}

async function resolved(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new ClusterError({
      code: "listen_failed",
      what: "the node cannot listen under a name that nobody knows.",
      got: `${JSON.stringify(host)}: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`,
      fix: "give the address of one of this machine's interfaces",
    });
  }
}
