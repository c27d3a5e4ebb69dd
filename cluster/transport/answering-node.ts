/** Who answers when a node is dialled: known before anything is taken from it. */
import type { IncomingHttpHeaders } from "node:http";
import { type ConnectionOptions, checkServerIdentity, type TLSSocket } from "node:tls";
import { ClusterError, type ClusterErrorCode } from "../error.ts";
import { type Asked, HEADER, proofOf } from "./handshake.ts";
import { isNodeId } from "./identity.ts";
import { isEqual, type Secret } from "./secret.ts";
import { namesOf, type TlsFiles, tlsOf } from "./tls.ts";

/** What is known of an answer. */
export interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly socket: object;
}

/**
 * Who answers, if it has proved that it knows the token, is the one that is meant, and, with TLS, goes by a name of its
 * certificate; else undefined.
 */
export function answererOf(
  response: Answer,
  bearer: Secret,
  asked: Asked,
  peer?: string,
): string | undefined {
  const name = response.headers[HEADER.node];
  if (typeof name !== "string" || !isNodeId(name)) return undefined;
  const isProved = isEqual(String(response.headers[HEADER.proof]), proofOf(bearer, asked, name));
  return isProved && name === (peer ?? name) && isCertified(response, name) ? name : undefined;
}

/** What TLS is spoken with to a node; to any of the run that has the name that is dialled, if none is meant. Errors: `tls_invalid`. */
export async function tlsTo(
  peer: string | undefined,
  files: Partial<TlsFiles> = {},
): Promise<ConnectionOptions> {
  return {
    ...(await tlsOf(files)),
    rejectUnauthorized: true,
    checkServerIdentity: (host, certificate) => {
      if (peer === undefined) return checkServerIdentity(host, certificate);
      return namesOf(certificate).includes(peer) ? undefined : new Error("another node's");
    },
  };
}

const OF_STATUS: Readonly<Record<number, ClusterErrorCode>> = {
  401: "peer_unauthorized",
  403: "peer_forbidden",
  413: "message_invalid",
  425: "peer_not_ready",
  429: "peer_busy",
  503: "peer_busy",
};

const FIXES: Readonly<Partial<Record<ClusterErrorCode, string>>> = {
  peer_unauthorized:
    "give all nodes the token of the same run, and a fresh ticket to each who dials",
  peer_forbidden: "check the run id, the role and the node id, which a certificate must name",
  message_invalid: "send less at once",
  peer_not_ready: "dial again in a moment",
  peer_busy: "dial again later",
};

/** What a refusal by its HTTP status is. */
export function refused(host: string, status: number, suspect?: string): ClusterError {
  const code = OF_STATUS[status] ?? "peer_invalid";
  return new ClusterError({
    code,
    what: "the node does not let us in.",
    got: `${host}: status ${status}`,
    fix: FIXES[code] ?? "check that a node of the same version of forge-gpu listens there",
    ...(suspect !== undefined && { suspect }),
  });
}

export function wrongNode(host: string, suspect?: string): ClusterError {
  return new ClusterError({
    code: "peer_invalid",
    what: "another answered than the node that was dialled.",
    got: host,
    why: "it cannot prove that it knows the token, or goes by another name",
    fix: "check the address, and that the node is of this run",
    ...(suspect !== undefined && { suspect }),
  });
}

export function unreachable(host: string, why: string, suspect?: string): ClusterError {
  return new ClusterError({
    code: "peer_unreachable",
    what: "the node cannot be reached.",
    got: `${host}: ${why}`,
    fix: "check that it runs, that the address is right, and both ends' certificates if it is wss://",
    ...(suspect !== undefined && { suspect }),
  });
}

/** With TLS, a node goes by the names of its certificate only. */
function isCertified({ socket }: Answer, nodeId: string): boolean {
  if (!("getPeerCertificate" in socket)) return true;
  return namesOf((socket as TLSSocket).getPeerCertificate()).includes(nodeId);
}
