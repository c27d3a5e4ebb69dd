/** What is asked of a peer before there is a connection, and what it is told when that is not enough. */
import type { IncomingHttpHeaders } from "node:http";
import { RING_PROTOCOL } from "./frame.ts";
import { isNodeId, type Plane, ROLES, type Role } from "./identity.ts";
import { isEqual, type Secret } from "./secret.ts";
import type { TicketBook, TicketVerdict } from "./ticket.ts";
import type { Token } from "./token.ts";

/** Version of the handshake and of all that is said after it. */
export const TRANSPORT_VERSION = "1";

export const PATHS: Readonly<Record<Plane, string>> = { control: "/control", ring: "/ring" };

/** What a socket becomes. */
export const PROTOCOLS: Readonly<Record<Plane, string>> = {
  control: "websocket",
  ring: RING_PROTOCOL,
};

/** Headers of a request, and of its answer. */
export const HEADER = {
  version: "x-forge-version",
  run: "x-forge-run",
  node: "x-forge-node",
  ticket: "x-forge-ticket",
  /** 16 random bytes in hex, over which the answering node proves itself; a WebSocket has its key. */
  nonce: "x-forge-nonce",
  /** The answering node's proof that it too knows the token. */
  proof: "x-forge-proof",
  /** CRC-32 of the body, where nothing else tells whether it is as it was sent. */
  checksum: "x-forge-checksum",
} as const;

/** What a request presents. */
export interface HandshakeRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Names in the peer's certificate; undefined unless certificates are asked for. */
  readonly names?: readonly string[];
}

/** Against what a request is checked. */
export interface Door {
  readonly token: Token;
  readonly runId: string;
  /** Planes that are served. */
  readonly planes: ReadonlySet<Plane>;
  readonly tickets: TicketBook;
  /** Whether one more may come in. */
  readonly hasRoom: () => boolean;
}

/** Who knocks. */
export interface Caller {
  readonly role: Role;
  readonly nodeId: string;
}

export interface Admission extends Caller {
  readonly plane: Plane;
}

/** An HTTP status and what it is for. */
export interface Refusal {
  readonly status: 401 | 403 | 404 | 405 | 413 | 425 | 426 | 429 | 503;
  readonly reason: string;
}

const NONCE = /^[0-9a-f]{32}$/;

/** A ticket of an epoch that we have not yet heard of may be good in a moment. */
const TICKET_REFUSALS: Readonly<Record<Exclude<TicketVerdict, "good">, Refusal>> = {
  forged: { status: 401, reason: "bad ticket" },
  early: { status: 425, reason: "epoch not yet begun" },
  past: { status: 401, reason: "ticket of a past epoch" },
  expired: { status: 401, reason: "ticket expired" },
  "wrong node": { status: 401, reason: "ticket of other nodes" },
  replayed: { status: 401, reason: "ticket used before" },
  "too many": { status: 429, reason: "too many tickets" },
};

/** Lets a peer in, or says why not. A ticket is used up only when all else is well. */
export function admit(request: HandshakeRequest, door: Door): Admission | Refusal {
  const { headers } = request;
  const plane = planeOf(request.url);
  if (!plane || !door.planes.has(plane)) return { status: 404, reason: "no such path" };
  if (!isUpgrade(request, plane)) {
    return { status: 426, reason: "version 1 over WebSocket 13, or forge-ring, only" };
  }
  const caller = callerOf(request, door);
  if ("status" in caller) return caller;
  const { role, nodeId } = caller;
  if (plane === "ring" && role !== "trainer") return { status: 403, reason: "trainers only" };
  if (!door.hasRoom()) return { status: 503, reason: "too many connections" };
  if (plane === "ring") {
    const verdict = door.tickets.use(headerText(headers[HEADER.ticket]), nodeId);
    if (verdict !== "good") return TICKET_REFUSALS[verdict];
  }
  return { plane, role, nodeId };
}

/** What a request says that no other has said, so that no proof is good for another. */
function nonceOf(plane: Plane, headers: IncomingHttpHeaders): string {
  return headerText(headers[plane === "control" ? "sec-websocket-key" : HEADER.nonce]);
}

/** Who knocks, or why that is not enough. */
export function callerOf(
  { headers, names }: Pick<HandshakeRequest, "headers" | "names">,
  door: Pick<Door, "token" | "runId">,
): Caller | Refusal {
  if (headers.origin !== undefined) return { status: 403, reason: "no browsers" };
  const role = roleOf(headers.authorization, door.token);
  if (!role) return { status: 401, reason: "bad token" };
  if (!isEqual(headerText(headers[HEADER.run]), door.runId))
    return { status: 403, reason: "wrong run" };
  const nodeId = headerText(headers[HEADER.node]);
  if (!isNodeId(nodeId)) return { status: 403, reason: "no node id" };
  if (names && !names.includes(nodeId)) {
    return { status: 403, reason: "certificate of another node" };
  }
  return { role, nodeId };
}

/** What is proved: that who answers knows the token, to who has asked this. */
export interface Asked {
  /** What who asks has drawn at random. */
  readonly key: string;
  /** Who asks, by its own account. */
  readonly by: string;
  /** A plane, or the method and the path of a plain request. */
  readonly what: Plane | `${"GET" | "POST"} /${string}`;
  readonly runId: string;
}

/**
 * What the answering node proves itself with: only who knows the token can say it, and only for this request, of a node that it
 * takes for the one that asks.
 */
export function proofOf(bearer: Secret, { key, by, what, runId }: Asked, nodeId: string): string {
  const proof = bearer.hmac(`proof:${runId}:${what}:${key}:${by}:${nodeId}`);
  return Buffer.from(proof).toString("hex");
}

/** Headers that say who answers, and prove it. */
export function proofHeaders(
  plane: Plane,
  asked: IncomingHttpHeaders,
  { token, runId, nodeId }: Pick<Door, "token" | "runId"> & { readonly nodeId: string },
): string[] {
  const presented = asked.authorization?.slice("Bearer ".length) ?? "";
  const role = token.bearer("trainer").isRevealedBy(presented) ? "trainer" : "rollout";
  const question = { key: nonceOf(plane, asked), by: headerText(asked[HEADER.node]) };
  const proof = proofOf(token.bearer(role), { ...question, what: plane, runId }, nodeId);
  return [`${HEADER.node}: ${nodeId}`, `${HEADER.proof}: ${proof}`];
}

/** Undefined for any other path; nothing is ever said in a query. */
function planeOf(url: string): Plane | undefined {
  if (url === PATHS.control) return "control";
  return url === PATHS.ring ? "ring" : undefined;
}

function isUpgrade({ method, headers }: HandshakeRequest, plane: Plane): boolean {
  return (
    method === "GET" &&
    headers.upgrade?.toLowerCase() === PROTOCOLS[plane] &&
    headers[HEADER.version] === TRANSPORT_VERSION &&
    (plane === "control"
      ? headers["sec-websocket-version"] === "13"
      : NONCE.test(nonceOf(plane, headers)))
  );
}

/** Both are compared whichever it is. */
function roleOf(authorization: string | undefined, token: Token): Role | undefined {
  const [, presented = ""] = /^Bearer ([0-9a-f]{64})$/.exec(authorization ?? "") ?? [];
  const [role] = ROLES.filter((role) => token.bearer(role).isRevealedBy(presented));
  return role;
}

/** A header that came twice is none. */
export function headerText(header: string | string[] | undefined): string {
  return typeof header === "string" ? header : "";
}
