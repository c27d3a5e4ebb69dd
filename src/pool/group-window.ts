/** The groups between admission and consumption, and which of them the trainer sees. */
import { ForgeError } from "../../engine/error.ts";

/** A group that was admitted. */
export interface Ticket {
  /** Place in the order of submission, from 0: the task's index in the stream of tasks too. */
  readonly id: number;
  /** Steps whose weights were live then. */
  readonly version: number;
  /** Groups that had been consumed then. */
  readonly consumed: number;
}

/** `dead` takes part in no step, and goes as soon as the window reaches it. */
type State = "running" | "done" | "dead";

interface Entry {
  readonly ticket: Ticket;
  state: State;
}

/** What of a {@link GroupWindow} is in a checkpoint. */
export interface WindowSnapshot {
  readonly next: number;
  readonly consumed: number;
  /** By ascending id. */
  readonly waiting: readonly (Ticket & { readonly state: State })[];
}

/** Ids come in ascending; what is consumed is within [head, head + width − 1], where head is the oldest that is left. */
export class GroupWindow {
  /** Infinity when greedy. */
  readonly width: number;
  /** Admitted and not consumed, by ascending id. */
  readonly #entries = new Map<number, Entry>();
  #next = 0;
  #consumed = 0;

  constructor(width: number) {
    this.width = width;
  }

  /** Goes on where another was, from nothing. The snapshot is one that was checked. */
  fill(snapshot: WindowSnapshot): void {
    this.#next = snapshot.next;
    this.#consumed = snapshot.consumed;
    for (const { state, ...ticket } of snapshot.waiting)
      this.#entries.set(ticket.id, { ticket, state });
  }

  /** The oldest group that is not consumed. */
  get head(): number {
    for (const id of this.#entries.keys()) return id;
    return this.#next;
  }

  /** Id of the next group to be admitted. */
  get next(): number {
    return this.#next;
  }

  /** Groups taken or passed over as dead. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Groups admitted and not consumed. */
  get size(): number {
    return this.#entries.size;
  }

  /** By ascending id. */
  get running(): readonly Ticket[] {
    return [...this.#entries.values()].filter((e) => e.state === "running").map((e) => e.ticket);
  }

  /** Those that are done and may be taken, by ascending id. */
  get visible(): readonly number[] {
    const end = this.head + this.width;
    const open = [...this.#entries].filter(([id, entry]) => id < end && entry.state === "done");
    return open.map(([id]) => id);
  }

  /** Lets the next group in, which runs. */
  admit(version: number): Ticket {
    const ticket = { id: this.#next++, version, consumed: this.#consumed };
    this.#entries.set(ticket.id, { ticket, state: "running" });
    return ticket;
  }

  /** The group can be taken. Errors: `state_conflict` unless it is running. */
  finish(id: number): void {
    this.#running("finish", id).state = "done";
  }

  /** The group is passed over. Errors: `state_conflict` unless it is running. */
  bury(id: number): void {
    this.#running("bury", id).state = "dead";
    this.#passDead();
  }

  /** Consumes the oldest visible group; undefined while there is none. */
  take(): Ticket | undefined {
    const [id] = this.visible;
    if (id === undefined) return undefined;
    const { ticket } = this.#entries.get(id) as Entry;
    this.#consume(id);
    this.#passDead();
    return ticket;
  }

  /** As plain JSON. */
  snapshot(): WindowSnapshot {
    return {
      next: this.#next,
      consumed: this.#consumed,
      waiting: [...this.#entries.values()].map(({ ticket, state }) => ({ ...ticket, state })),
    };
  }

  #consume(id: number): void {
    this.#entries.delete(id);
    this.#consumed++;
  }

  /** One pass is enough: a head that moves shows younger groups, never older ones. */
  #passDead(): void {
    for (const [id, entry] of this.#entries) {
      if (id >= this.head + this.width) break;
      if (entry.state === "dead") this.#consume(id);
    }
  }

  #running(what: string, id: number): Entry {
    const entry = this.#entries.get(id);
    if (entry?.state === "running") return entry;
    const state = entry?.state ?? (id < this.#next ? "consumed" : "not admitted");
    return conflict(what, id, `it is ${state}, not running`);
  }
}

/** Errors    `state_conflict`: always. */
export function conflict(what: string, id: number, why: string): never {
  throw new ForgeError({
    code: "state_conflict",
    what: `scheduler: cannot ${what} group ${id}.`,
    why,
    fix: "finish or bury a group once, and drop only what was taken",
  });
}
