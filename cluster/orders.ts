/** The orders of a cluster, for a host that takes them one after the other. */
import type { ClusterHost, Fetch, Move } from "./membership/host.ts";

/** What a node is to do. Aborted when it is no longer wanted, by what comes next or for good. */
export type Order =
  | {
      readonly type: "move";
      readonly move: Move;
      readonly signal: AbortSignal;
      /** Whether what it came to is the state of all. Never before the end was told, but for an order that is aborted. */
      readonly isCommitted: Promise<boolean>;
    }
  | { readonly type: "fetch"; readonly fetch: Fetch; readonly signal: AbortSignal }
  | { readonly type: "end"; readonly signal: AbortSignal };

/** An order, and what ends it. */
interface Given {
  readonly order: Order;
  readonly abort: AbortController;
  readonly settle: (isCommitted: boolean) => void;
  isTaken: boolean;
}

/**
 * See the file's head. Only the last order counts: one that nobody has taken is forgotten, and one that is under way is
 * aborted, when the next one comes.
 */
export class Orders implements ClusterHost {
  #given: Given | undefined;
  #isLeading = false;
  #news = new AbortController();
  #failure: Error | undefined;

  /** Whether the node leads. */
  get isLeading(): boolean {
    return this.#isLeading;
  }

  /** Aborted when there is an order that nobody has taken, or the lead changes. */
  get news(): AbortSignal {
    return this.#news.signal;
  }

  /** The order that nobody has taken yet. Errors: what it has failed with. */
  take(): Order | undefined {
    if (this.#failure) throw this.#failure;
    const given = this.#given;
    this.#news = new AbortController();
    if (!given || given.isTaken) return undefined;
    given.isTaken = true;
    return given.order;
  }

  /** There will be no more orders, since the node is gone. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#drop();
    this.#news.abort();
  }

  lead(isLeading: boolean): void {
    this.#isLeading = isLeading;
    this.#news.abort();
  }

  move(move: Move): void {
    this.#give((signal, isCommitted) => ({ type: "move", move, signal, isCommitted }));
  }

  fetch(fetch: Fetch): void {
    this.#give((signal) => ({ type: "fetch", fetch, signal }));
  }

  end(): void {
    this.#give((signal) => ({ type: "end", signal }));
  }

  abort(epoch: number): void {
    if (this.#epoch === epoch) this.#drop();
  }

  commit(epoch: number): void {
    if (this.#epoch !== epoch) return;
    this.#given?.settle(true);
    this.#given = undefined;
  }

  get #epoch(): number | undefined {
    const order = this.#given?.order;
    return order?.type === "move" ? order.move.epoch : undefined;
  }

  #give(orderOf: (signal: AbortSignal, isCommitted: Promise<boolean>) => Order): void {
    this.#drop();
    const abort = new AbortController();
    let settle = (_: boolean): void => {};
    const isCommitted = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    this.#given = { order: orderOf(abort.signal, isCommitted), abort, settle, isTaken: false };
    this.#news.abort();
  }

  #drop(): void {
    const given = this.#given;
    this.#given = undefined;
    given?.settle(false);
    given?.abort.abort();
  }
}
