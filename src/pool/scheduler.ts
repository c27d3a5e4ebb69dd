/** Windowed FIFO: which group is generated next, and which of the finished ones the trainer may take. */
import { ForgeError } from "../../engine/error.ts";
import { addLag, type LagReport, lagReport } from "./lag.ts";
import { checkSchedulerSnapshot, type SchedulerSnapshot } from "./scheduler-snapshot.ts";
import { WaitingLine } from "./waiting-line.ts";

/** How a {@link Scheduler} goes about it. */
export interface SchedulerOptions {
  /** N: groups that are generated, wait, or are in the step under way, at most. */
  readonly slots: number;
  /** P: groups of an optimizer step, at most `slots`. Default 1. */
  readonly groupsPerStep?: number;
  /**
   * W: how far beyond the oldest group the trainer may look. Below 1 a share of the slots, max(1, ⌊share · N⌋); else a
   * count; "strict" is 1, "greedy" has no end and bounds no lag. Default 0.3.
   */
  readonly window?: number | "strict" | "greedy";
  /** Groups there are in all. Default: no end. */
  readonly groups?: number;
}

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

/**
 * The trainer takes finished groups with ids in [head, head + W − 1], the oldest first, and no other; the head, the
 * oldest group that is not consumed, moves on only as it is taken or dead. A slot is free again when the step that its
 * group went into has its weights live, so no group is begun with weights that are known to be old.
 *
 * Hence |position of consumption − id| ≤ W − 1, a lag of at most N + W − 2 consumed groups and of at most
 * ⌊(N + W − 2) / P⌋ steps. Dead groups count as consumed, which is why they too wait for the window.
 *
 * Source: MiniMax Forge (2026-02), §3.1; MiniMax-M2, arXiv:2605.26494, §6.2.4; the freeing of slots as in torchtitan's
 * PR 3927.
 */
export class Scheduler {
  readonly slots: number;
  readonly groupsPerStep: number;
  /** W; Infinity when greedy. */
  readonly window: number;
  readonly #groups: number;
  /** Admitted and not consumed, by ascending id. */
  readonly #waiting = new Map<number, Entry>();
  /** In the step under way, in the order taken. */
  readonly #taken = new Map<number, Ticket>();
  #next = 0;
  #consumed = 0;
  #version = 0;
  readonly #lags = { groups: new Map<number, number>(), steps: new Map<number, number>() };
  readonly #producers = new WaitingLine<undefined, Ticket | undefined>();
  readonly #trainers = new WaitingLine<undefined, Ticket | undefined>();

  /** Errors    `argument_invalid`. */
  constructor(options: SchedulerOptions) {
    const { slots, groupsPerStep = 1, window = 0.3, groups = Number.POSITIVE_INFINITY } = options;
    checkCount("slots", slots, Number.MAX_SAFE_INTEGER);
    checkCount("groupsPerStep", groupsPerStep, slots);
    if (groups !== Number.POSITIVE_INFINITY) checkCount("groups", groups, Number.MAX_SAFE_INTEGER);
    this.slots = slots;
    this.groupsPerStep = groupsPerStep;
    this.window = windowOf(window, slots);
    this.#groups = groups;
  }

  /**
   * A scheduler that goes on where another was. Who waited there has to ask again; groups that ran are in
   * {@link running}.
   *
   * Errors    `checkpoint_invalid`; `argument_invalid` for other `slots`, `groupsPerStep` or `window`, under which
   *           the bounds of what was admitted would not hold.
   */
  static restore(options: SchedulerOptions, snapshot: SchedulerSnapshot): Scheduler {
    const scheduler = new Scheduler(options);
    checkSchedulerSnapshot(snapshot, scheduler);
    scheduler.#next = snapshot.next;
    scheduler.#consumed = snapshot.consumed;
    scheduler.#version = snapshot.version;
    for (const { state, ...ticket } of snapshot.waiting)
      scheduler.#waiting.set(ticket.id, { ticket, state });
    for (const ticket of snapshot.taken) scheduler.#taken.set(ticket.id, ticket);
    for (const [lag, count] of snapshot.lags.groups) scheduler.#lags.groups.set(lag, count);
    for (const [lag, count] of snapshot.lags.steps) scheduler.#lags.steps.set(lag, count);
    return scheduler;
  }

  /** The oldest group that is not consumed. */
  get head(): number {
    for (const id of this.#waiting.keys()) return id;
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

  /** Steps whose weights are live. */
  get version(): number {
    return this.#version;
  }

  /** Slots in use. */
  get inFlight(): number {
    return this.#waiting.size + this.#taken.size;
  }

  /** Groups that are being generated, by ascending id. */
  get running(): readonly Ticket[] {
    return [...this.#waiting.values()].filter((e) => e.state === "running").map((e) => e.ticket);
  }

  /** Finished groups within the window, by ascending id: those that may be taken. */
  get visible(): readonly number[] {
    const end = this.head + this.window;
    const open = [...this.#waiting].filter(([id, entry]) => id < end && entry.state === "done");
    return open.map(([id]) => id);
  }

  /** Begins the next group; undefined while all slots are in use, and after the last group. */
  admit(): Ticket | undefined {
    if (this.inFlight >= this.slots || this.#next >= this.#groups) return undefined;
    const ticket = { id: this.#next++, version: this.#version, consumed: this.#consumed };
    this.#waiting.set(ticket.id, { ticket, state: "running" });
    return ticket;
  }

  /** As {@link admit}, but waits for a slot; undefined after the last group. */
  whenAdmitted(signal?: AbortSignal): Promise<Ticket | undefined> {
    const waiting = this.#producers.wait(undefined, signal);
    this.#serve();
    return waiting;
  }

  /** The group is generated and can be trained on. Errors: `state_conflict` unless it is running. */
  finish(id: number): void {
    this.#running("finish", id).state = "done";
    this.#serve();
  }

  /** The group came to nothing (deadline, failure): a tombstone. Errors: `state_conflict` unless it is running. */
  bury(id: number): void {
    this.#running("bury", id).state = "dead";
    this.#passDead();
    this.#serve();
  }

  /**
   * Takes the oldest finished group within the window into the step under way; undefined while there is none.
   *
   * Errors    `state_conflict` when the step is full: call {@link stepped} first.
   */
  take(): Ticket | undefined {
    this.#checkRoom();
    const ticket = this.#takeOldest();
    this.#serve();
    return ticket;
  }

  /** As {@link take}, but waits for a group; undefined when none can come any more. */
  async whenTaken(signal?: AbortSignal): Promise<Ticket | undefined> {
    this.#checkRoom();
    const waiting = this.#trainers.wait(undefined, signal);
    this.#serve();
    return waiting;
  }

  /** A group that was taken goes into no step after all (its rewards are all equal, say), and its slot is free. */
  drop(id: number): void {
    if (!this.#taken.delete(id)) conflict("drop", id, "it is not in the step under way");
    this.#serve();
  }

  /**
   * The step's weights are live: its slots are free, and what is admitted from now on has the next version.
   *
   * Errors    `state_conflict` when the step has fewer than P groups though more can come: smaller steps are more
   *           steps, and the bound on the lag counts them.
   */
  stepped(): number {
    if (this.#taken.size < this.groupsPerStep && !(this.#isExhausted && this.#taken.size > 0)) {
      throw new ForgeError({
        code: "state_conflict",
        what: "scheduler: the step is not full.",
        got: `${this.#taken.size} of ${this.groupsPerStep} groups`,
        fix: "take groups until it is; only the last step of a stream with an end may be smaller",
      });
    }
    this.#taken.clear();
    this.#version++;
    this.#serve();
    return this.#version;
  }

  /** Lags of all groups taken so far, and their bounds. */
  get lag(): LagReport {
    return lagReport(this.#lags, this.slots + this.window - 2, this.groupsPerStep);
  }

  /** All of it as plain JSON, less those who wait for it. */
  snapshot(): SchedulerSnapshot {
    return {
      format: 1,
      slots: this.slots,
      groupsPerStep: this.groupsPerStep,
      window: this.window === Number.POSITIVE_INFINITY ? "greedy" : this.window,
      next: this.#next,
      consumed: this.#consumed,
      version: this.#version,
      waiting: [...this.#waiting.values()].map(({ ticket, state }) => ({ ...ticket, state })),
      taken: [...this.#taken.values()],
      lags: { groups: [...this.#lags.groups], steps: [...this.#lags.steps] },
    };
  }

  get #isExhausted(): boolean {
    return this.#next >= this.#groups && this.#waiting.size === 0;
  }

  #takeOldest(): Ticket | undefined {
    const [id] = this.visible;
    if (id === undefined) return undefined;
    const { ticket } = this.#waiting.get(id) as Entry;
    addLag(this.#lags.groups, this.#consumed - ticket.consumed);
    addLag(this.#lags.steps, this.#version - ticket.version);
    this.#taken.set(id, ticket);
    this.#consume(id);
    this.#passDead();
    return ticket;
  }

  #consume(id: number): void {
    this.#waiting.delete(id);
    this.#consumed++;
  }

  /** One pass is enough: a head that moves shows younger groups, never older ones. */
  #passDead(): void {
    for (const [id, entry] of this.#waiting) {
      if (id >= this.head + this.window) break;
      if (entry.state === "dead") this.#consume(id);
    }
  }

  #serve(): void {
    for (const trainer of this.#trainers) {
      const ticket = this.#takeOldest();
      if (!ticket && !this.#isExhausted) break;
      trainer.resolve(ticket);
    }
    // after the trainer: what it passes over as dead frees slots
    for (const producer of this.#producers) {
      const ticket = this.admit();
      if (!ticket && this.#next < this.#groups) break;
      producer.resolve(ticket);
    }
  }

  #running(what: string, id: number): Entry {
    const entry = this.#waiting.get(id);
    if (entry?.state === "running") return entry;
    const state = entry?.state ?? (id < this.#next ? "consumed" : "not admitted");
    return conflict(what, id, `it is ${state}, not running`);
  }

  #checkRoom(): void {
    if (this.#taken.size + this.#trainers.size < this.groupsPerStep) return;
    throw new ForgeError({
      code: "state_conflict",
      what: "scheduler: the step under way is full.",
      got: `${this.#taken.size} groups taken and ${this.#trainers.size} waited for`,
      why: `a step has ${this.groupsPerStep}; taking more would hold slots that no step frees`,
      fix: "call stepped() once the step's weights are live",
    });
  }
}

function windowOf(window: number | "strict" | "greedy", slots: number): number {
  if (window === "strict") return 1;
  if (window === "greedy") return Number.POSITIVE_INFINITY;
  if (window > 0 && window < 1) return Math.max(1, Math.floor(window * slots));
  checkCount("window", window, slots);
  return window;
}

function checkCount(field: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  const also = field === "window" ? ', or a share of the slots below 1, "strict" or "greedy"' : "";
  throw new ForgeError({
    code: "argument_invalid",
    what: `scheduler: "${field}" cannot be used.`,
    got: String(value),
    why: `it is an integer from 1 to ${most}${also}`,
    fix: "correct it",
  });
}

function conflict(what: string, id: number, why: string): never {
  throw new ForgeError({
    code: "state_conflict",
    what: `scheduler: cannot ${what} group ${id}.`,
    why,
    fix: "finish or bury a group once, and drop only what was taken",
  });
}
