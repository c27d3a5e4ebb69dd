/** What is needed to dial a node, on either plane. */
import { type ConnectionOptions, checkServerIdentity, type TLSSocket } from "node:tls";
import { ClusterError, type ClusterErrorCode } from "../error.ts";
import type { Clock } from "./clock.ts";
import { HEADER, proofOf, TRANSPORT_VERSION } from "./handshake.ts";
import { checkNodeId, checkRunId, isNodeId, type Plane, type Role } from "./identity.ts";
import type { TransportLimits } from "./limits.ts";
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

/** Addresses carry no path, query or name of a user: those are where secrets leak from. */
export function addressOf(url: string): URL {
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

/** Headers that say who asks to be let in. */
export function headersOf({
  runId,
  nodeId,
  role = "trainer",
  token,
}: DialOptions): Record<string, string> {
  return {
    Authorization: `Bearer ${token.bearer(role).reveal()}`,
    [HEADER.version]: TRANSPORT_VERSION,
    [HEADER.run]: checkRunId(runId),
    [HEADER.node]: checkNodeId(nodeId),
  };
}

/** How TLS is begun, and whose certificate is taken. Errors: `tls_invalid`. */
export async function identityOf({ tls = {}, peer }: DialOptions): Promise<ConnectionOptions> {
  return {
    ...(await tlsOf(tls)),
    rejectUnauthorized: true,
    checkServerIdentity: (host, certificate) => {
      if (peer === undefined) return checkServerIdentity(host, certificate);
      return namesOf(certificate).includes(peer) ? undefined : new Error("another node's");
    },
  };
}

/** What a node has answered with. */
export interface Answer {
  readonly plane: Plane;
  /** Of the request. */
  readonly nonce: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly socket: object;
}

/** The node that has answered; undefined unless it proves that it knows the token, and is the one that was meant. */
export function answeringNode(
  { plane, nonce, headers, socket }: Answer,
  { runId, role = "trainer", token, peer }: DialOptions,
): string | undefined {
  const node = headers[HEADER.node];
  if (typeof node !== "string" || !isNodeId(node) || node !== (peer ?? node)) return undefined;
  const proof = proofOf(token.bearer(role), { nonce, plane, runId }, node);
  if (!isEqual(String(headers[HEADER.proof]), proof)) return undefined;
  // with TLS, a node goes by the names of its certificate only
  const isCertified =
    !("getPeerCertificate" in socket) ||
    namesOf((socket as TLSSocket).getPeerCertificate()).includes(node);
  return isCertified ? node : undefined;
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

/** It says no. */
export function refused(host: string, status: number): ClusterError {
  const code = OF_STATUS[status] ?? "peer_invalid";
  return new ClusterError({
    code,
    what: "the node does not let us in.",
    got: `${host}: status ${status}`,
    fix: FIXES[code] ?? "check that a node of the same version of forge-gpu listens there",
  });
}

/** See {@link answeringNode}. */
export function wrongNode(host: string): ClusterError {
  return new ClusterError({
    code: "peer_invalid",
    what: "another answered than the node that was dialled.",
    got: host,
    why: "it cannot prove that it knows the token, or goes by another name",
    fix: "check the address, and that the node is of this run",
  });
}

/** Nobody is there. */
export function unreachable(host: string, why: string): ClusterError {
  return new ClusterError({
    code: "peer_unreachable",
    what: "the node cannot be reached.",
    got: `${host}: ${why}`,
    fix: "check that it runs, that the address is right, and both ends' certificates if it is wss://",
  });
}
