/** How those who compute keep those who wait for them from taking them for dead. */
import type { NodeId } from "../membership/record.ts";
import type { Clock } from "../transport/clock.ts";
import type { BusySign } from "../transport/ring-connection.ts";
import { wrongSign } from "./failure.ts";

/** Signs in the time that a collective may go without progress. */
const SIGNS = 4;

/** What the signs of a node in an epoch are made with. */
export interface BusySignsParts {
  readonly members: readonly NodeId[];
  readonly rank: number;
  readonly clock: Clock;
  /** Milliseconds that a collective may go without progress. */
  readonly progressMs: number;
  /** The collective that this node is not ready for; undefined while it holds up nobody, and where it is of no use to wait. */
  readonly awaited: () => number | undefined;
  /** Tells the successor. */
  readonly tell: (sign: BusySign) => void;
  /** A member is there, and not ready for a collective. */
  readonly onBusy: (member: NodeId, op: number) => void;
}

/**
 * A member holds up all others while it computes, which may take longer than a collective may go without progress. So one that
 * has not begun the next collective, or has buckets yet to be ready, says so to its successor, four times in that time; one that
 * holds up nobody itself hands that on, as far as the predecessor of whom it came from. It counts as progress for whoever is in
 * that collective or a later one.
 *
 * Who is stopped or cut off says nothing, and hands nothing on: its successor suspects it in the usual time, whoever else is not
 * ready.
 */
export class BusySigns {
  readonly #parts: BusySignsParts;
  #cancel = (): void => {};

  constructor(parts: BusySignsParts) {
    this.#parts = parts;
  }

  /** From now on it is said whenever it is so. */
  begin(): void {
    const { clock, progressMs, awaited, tell } = this.#parts;
    this.#cancel();
    this.#cancel = clock.after(progressMs / SIGNS, () => {
      const op = awaited();
      if (op !== undefined) tell({ op, hops: 1 });
      this.begin();
    });
  }

  /** From now on it is not: whoever waits, waits in vain. */
  end(): void {
    this.#cancel();
  }

  /** The predecessor has handed on what one before us says. Errors: `protocol_violated` for one that there is not. */
  heed({ op, hops }: BusySign): void {
    const { members, rank, awaited, tell, onBusy } = this.#parts;
    const world = members.length;
    if (hops >= world) throw wrongSign(hops, world);
    const own = awaited();
    // what we say ourselves says as much
    if (own !== undefined && own <= op) return;
    onBusy(members[(rank + world - hops) % world] as NodeId, op);
    if (hops < world - 1) tell({ op, hops: hops + 1 });
  }
}
