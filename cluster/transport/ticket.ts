/** Tickets: who may read gradients from whom, once, in one epoch. */
import { randomBytes } from "node:crypto";
import type { Clock } from "./clock.ts";
import { checkEpoch, checkNodeId, checkRunId } from "./identity.ts";
import { isEqual, type Secret } from "./secret.ts";

/** Milliseconds that a ticket is good for by default. */
const LIFETIME = 60_000;

/** Tickets of one epoch that are remembered as used. Only who has the key can use one up. */
const MOST_USED = 4_096;

/** What a ticket allows. */
export interface TicketGrant {
  readonly epoch: number;
  /** The node that dials. */
  readonly from: string;
  /** The node that is dialled: its predecessor in the ring. */
  readonly to: string;
  /** Which of the parallel rings. Default 0. */
  readonly lane?: number;
  /** Milliseconds since 1970 at which it ends. */
  readonly expires: number;
}

/** Why a ticket is not taken; "good" when it is. */
export type TicketVerdict =
  | "good"
  | "forged"
  | "early"
  | "past"
  | "expired"
  | "wrong node"
  | "replayed"
  | "too many";

/**
 * HMAC-SHA256(key; run | epoch | lane | from | to | nonce | expiry) and what it covers. The key is a run's ticket key, which
 * only trainers can derive; the ticket itself is for the eyes of `from` alone until it is used.
 *
 * Errors    `argument_invalid`.
 */
export function mintTicket(key: Secret, runId: string, grant: TicketGrant): string {
  const { epoch, from, to, lane = 0, expires } = grant;
  const claims = [
    checkEpoch(epoch),
    checkEpoch(lane),
    checkNodeId(from),
    checkNodeId(to),
    randomBytes(16).toString("hex"),
    Math.trunc(expires),
  ].join(":");
  return `${claims}:${seal(key, checkRunId(runId), claims)}`;
}

/** When a ticket that is minted now ends. */
export function expiryOf(clock: Clock, lifetime: number = LIFETIME): number {
  return clock.wall() + lifetime;
}

/** No claim has a colon in it, so no two lists of claims read the same. */
function seal(key: Secret, runId: string, claims: string): string {
  return Buffer.from(key.hmac(`ticket:${runId}:${claims}`)).toString("hex");
}

const TICKET =
  /^((\d{1,10}):(\d{1,10}):([A-Za-z0-9._-]{1,64}):([A-Za-z0-9._-]{1,64}):([0-9a-f]{32}):(\d{1,15})):([0-9a-f]{64})$/;

/** What a {@link TicketBook} is of. */
export interface TicketBookOptions {
  readonly key: Secret;
  readonly runId: string;
  /** The node whose door it is. */
  readonly nodeId: string;
  readonly lane?: number;
  readonly clock: Clock;
}

/** The tickets of the epoch under way that were used at one node's door. Past epochs are forgotten, and closed. */
export class TicketBook {
  readonly #options: TicketBookOptions;
  #epoch = -1;
  #peers: ReadonlySet<string> = new Set();
  /** Nonces, and when their tickets end. */
  readonly #used = new Map<string, number>();

  constructor(options: TicketBookOptions) {
    this.#options = options;
  }

  /** The epoch whose tickets are taken; −1 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Tickets that are remembered. */
  get used(): number {
    return this.#used.size;
  }

  /** Takes tickets of this epoch from these nodes, and of no other any more. An epoch that is past stays so. */
  open(epoch: number, peers: Iterable<string>): void {
    if (checkEpoch(epoch) < this.#epoch) return;
    if (epoch > this.#epoch) this.#used.clear();
    this.#epoch = epoch;
    this.#peers = new Set(peers);
  }

  /** Checks a ticket that a node presents; a good one is used up. The seal is looked at before all else. */
  use(ticket: string, from: string): TicketVerdict {
    const { key, runId, nodeId, lane = 0, clock } = this.#options;
    const [, claims = "", epoch, ofLane, dialler, dialled, nonce = "", expires, given = ""] =
      TICKET.exec(ticket) ?? [];
    if (!isEqual(given, seal(key, runId, claims))) return "forged";
    if (Number(epoch) > this.#epoch) return "early";
    if (Number(epoch) < this.#epoch) return "past";
    if (dialler !== from || dialled !== nodeId || Number(ofLane) !== lane) return "wrong node";
    if (!this.#peers.has(from)) return "wrong node";
    const now = clock.wall();
    if (Number(expires) <= now) return "expired";
    if (this.#used.has(nonce)) return "replayed";
    if (this.#used.size >= MOST_USED) this.#forget(now);
    if (this.#used.size >= MOST_USED) return "too many";
    this.#used.set(nonce, Number(expires));
    return "good";
  }

  /** What has ended is refused for that. */
  #forget(now: number): void {
    for (const [nonce, expires] of this.#used) if (expires <= now) this.#used.delete(nonce);
  }
}
