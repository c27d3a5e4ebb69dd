/** The two connections of a node in one epoch: from its predecessor, which it dials, and to its successor, which dials it. */
import { ClusterError } from "../error.ts";
import type { NodeId } from "../membership/record.ts";
import type { Clock } from "../transport/clock.ts";
import { CLOSE } from "../transport/close-code.ts";
import { dialRing } from "../transport/dial-ring.ts";
import type { DialOptions } from "../transport/dialling.ts";
import type { RingHandlers, RingReceiver, RingSender } from "../transport/ring-connection.ts";
import { expiryOf, mintTicket } from "../transport/ticket.ts";
import { lost, stalled, unreached } from "./failure.ts";

/** Milliseconds until a predecessor that has not begun the epoch is dialled again, at first and at most. */
const BACK_OFF = { first: 10, most: 200 };

/** What the connections of an epoch are made of. */
export interface RingLinksParts {
  readonly epoch: number;
  readonly lane: number;
  readonly predecessor: { readonly node: NodeId; readonly address: string };
  readonly successor: NodeId;
  readonly dial: DialOptions & { readonly clock: Clock };
  /** Milliseconds that both neighbours have to be there. */
  readonly connectMs: number;
  readonly handlers: Pick<RingHandlers, "place" | "chunk" | "busy">;
  /** Called once, unless the connections are ended from here: one is lost, or could not be had. */
  readonly onFailure: (error: ClusterError) => void;
}

/** See the file's head. */
export class RingLinks {
  /** Resolves when both neighbours are there. Errors: those given to `onFailure`. */
  readonly ready: Promise<void>;
  readonly #parts: RingLinksParts;
  readonly #giveUp = new AbortController();
  #sender: RingSender | undefined;
  #receiver: RingReceiver | undefined;
  #settle: { readonly resolve: () => void; readonly reject: (error: ClusterError) => void };
  #cancelDeadline: () => void;
  #isOver = false;

  constructor(parts: RingLinksParts) {
    const { connectMs, dial, predecessor, successor } = parts;
    this.#parts = parts;
    this.#settle = { resolve: () => {}, reject: () => {} };
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // whoever does not wait for it is told by onFailure
    this.ready.catch(() => {});
    this.#cancelDeadline = dial.clock.after(connectMs, () => {
      const missing = this.#receiver ? successor : predecessor.node;
      this.#fail(stalled(missing, "a neighbour has not begun the epoch", connectMs));
    });
    void this.#reach();
  }

  /** To the successor, once it is there. */
  get sender(): RingSender | undefined {
    return this.#sender;
  }

  /** Takes the successor in, which comes once. */
  admit(sender: RingSender): void {
    if (this.#isOver || this.#sender) {
      sender.kill(CLOSE.superseded, "there is no place for it");
      return;
    }
    this.#sender = sender;
    void sender.closed.then((end) => this.#fail(lost(this.#parts.successor, end)));
    this.#check();
  }

  /** Ends both at once: nothing of what was to be sent is read again. */
  end(error: ClusterError): void {
    const reason = "the epoch is over here";
    this.#isOver = true;
    this.#cancelDeadline();
    this.#giveUp.abort();
    this.#settle.reject(error);
    this.#sender?.kill(CLOSE.superseded, reason);
    this.#receiver?.kill(CLOSE.superseded, reason);
  }

  async #reach(): Promise<void> {
    const { predecessor } = this.#parts;
    try {
      const receiver = await this.#dial();
      this.#receiver = receiver;
      void receiver.closed.then((end) => this.#fail(lost(predecessor.node, end)));
      if (this.#isOver) receiver.kill(CLOSE.superseded, "given up");
      this.#check();
    } catch (error) {
      this.#fail(unreached(predecessor.node, error));
    }
  }

  /** Dials until the predecessor has begun the epoch too. */
  async #dial(): Promise<RingReceiver> {
    const { epoch, lane, predecessor, dial, handlers } = this.#parts;
    const { token, runId, nodeId, clock } = dial;
    for (let wait = BACK_OFF.first; ; wait = Math.min(2 * wait, BACK_OFF.most)) {
      try {
        const expires = expiryOf(clock);
        const grant = { epoch, lane, from: nodeId, to: predecessor.node, expires };
        return await dialRing(predecessor.address, {
          ...dial,
          ...{ peer: predecessor.node, signal: this.#giveUp.signal },
          ticket: mintTicket(token.ticketKey(runId), runId, grant),
          open: () => handlers,
        });
      } catch (error) {
        const isEarly = error instanceof ClusterError && error.code === "peer_not_ready";
        if (!isEarly || this.#isOver) throw error;
      }
      await new Promise<void>((resolve) => clock.after(wait, resolve));
    }
  }

  #check(): void {
    if (this.#isOver || !this.#sender || !this.#receiver) return;
    this.#cancelDeadline();
    this.#settle.resolve();
  }

  #fail(error: ClusterError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelDeadline();
    this.#giveUp.abort();
    this.#settle.reject(error);
    this.#parts.onFailure(error);
  }
}
