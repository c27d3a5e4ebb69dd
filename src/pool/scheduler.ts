/** Windowed FIFO: which group is generated next, and which of the finished ones the trainer may take. */
import { ForgeError } from "../../engine/error.ts";
import { conflict, GroupWindow, type Ticket } from "./group-window.ts";
import { type LagReport, LagStatistics } from "./lag.ts";
import { refuse } from "./record.ts";
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
  readonly #groups: number;
  readonly #window: GroupWindow;
  /** In the step under way, in the order taken. */
  readonly #taken = new Map<number, Ticket>();
  #version = 0;
  readonly #lags = new LagStatistics();
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
    this.#window = new GroupWindow(windowOf(window, slots));
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
    scheduler.#window.fill(snapshot);
    scheduler.#version = snapshot.version;
    for (const ticket of snapshot.taken) scheduler.#taken.set(ticket.id, ticket);
    scheduler.#lags.fill(snapshot.lags);
    return scheduler;
  }

  /** W; Infinity when greedy. */
  get window(): number {
    return this.#window.width;
  }

  /** The oldest group that is not consumed. */
  get head(): number {
    return this.#window.head;
  }

  /** Id of the next group to be admitted. */
  get next(): number {
    return this.#window.next;
  }

  /** Groups taken or passed over as dead. */
  get consumed(): number {
    return this.#window.consumed;
  }

  /** Steps whose weights are live. */
  get version(): number {
    return this.#version;
  }

  /** Slots in use. */
  get inFlight(): number {
    return this.#window.size + this.#taken.size;
  }

  /** Groups that are being generated, by ascending id. */
  get running(): readonly Ticket[] {
    return this.#window.running;
  }

  /** Finished groups within the window, by ascending id: those that may be taken. */
  get visible(): readonly number[] {
    return this.#window.visible;
  }

  /** Begins the next group; undefined while all slots are in use, and after the last group. */
  admit(): Ticket | undefined {
    if (this.inFlight >= this.slots || this.next >= this.#groups) return undefined;
    return this.#window.admit(this.#version);
  }

  /** As {@link admit}, but waits for a slot; undefined after the last group. */
  whenAdmitted(signal?: AbortSignal): Promise<Ticket | undefined> {
    const waiting = this.#producers.wait(undefined, signal);
    this.#serve();
    return waiting;
  }

  /** The group is generated and can be trained on. Errors: `state_conflict` unless it is running. */
  finish(id: number): void {
    this.#window.finish(id);
    this.#serve();
  }

  /** The group came to nothing (deadline, failure): a tombstone. Errors: `state_conflict` unless it is running. */
  bury(id: number): void {
    this.#window.bury(id);
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
    return this.#lags.report(this.slots + this.window - 2, this.groupsPerStep);
  }

  /** All of it as plain JSON, less those who wait for it. */
  snapshot(): SchedulerSnapshot {
    return {
      format: 1,
      slots: this.slots,
      groupsPerStep: this.groupsPerStep,
      window: this.window === Number.POSITIVE_INFINITY ? "greedy" : this.window,
      version: this.#version,
      ...this.#window.snapshot(),
      taken: [...this.#taken.values()],
      lags: this.#lags.snapshot(),
    };
  }

  get #isExhausted(): boolean {
    return this.next >= this.#groups && this.#window.size === 0;
  }

  #takeOldest(): Ticket | undefined {
    const { consumed } = this.#window;
    const ticket = this.#window.take();
    if (!ticket) return undefined;
    this.#lags.add(consumed - ticket.consumed, this.#version - ticket.version);
    this.#taken.set(ticket.id, ticket);
    return ticket;
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
      if (!ticket && this.next < this.#groups) break;
      producer.resolve(ticket);
    }
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
  refuse("scheduler", field, value, `it is an integer from 1 to ${most}${also}`);
}
