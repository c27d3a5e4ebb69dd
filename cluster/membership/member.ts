/** A node's part in its cluster: what it has, what it is told, and what it tells. */
import type { Acceptor } from "./acceptor.ts";
import { type Ballot, compareBallots, NO_BALLOT } from "./ballot.ts";
import type { ClusterHost } from "./host.ts";
import type { AttemptStatus, NodeAddresses, Order, Status } from "./message.ts";
import type { ClusterRecord, NodeId } from "./record.ts";

/** A step that the host was asked to move. */
interface Attempt {
  readonly epoch: number;
  readonly step: number;
  /** Of the leader that asked for it. */
  readonly ballot: Ballot;
  /** How it ended; undefined while it moves. */
  readonly end: AttemptStatus | undefined;
}

/** See the file's head. The state of its host changes by chosen records alone. */
export class Member {
  readonly node: NodeId;
  readonly #addresses: NodeAddresses;
  readonly #host: ClusterHost;
  readonly #acceptor: Acceptor;
  #step = -1;
  #hash = "";
  #isReady = false;
  #work: string | null = null;
  #isLeaving = false;
  #attempt: Attempt | undefined;
  /** The state that is being fetched. */
  #fetching = "";
  #statuses = 0;
  #told = "";
  /** The last order, by which late ones are known. */
  #ordered: { readonly ballot: Ballot; readonly number: number } = { ballot: NO_BALLOT, number: 0 };

  constructor(
    { node, addresses, host }: { node: NodeId; addresses: NodeAddresses; host: ClusterHost },
    acceptor: Acceptor,
  ) {
    this.node = node;
    this.#addresses = addresses;
    this.#host = host;
    this.#acceptor = acceptor;
  }

  /** Of the state that the host has; −1 for none. */
  get step(): number {
    return this.#step;
  }

  /** Whether it is among those who train. */
  get isMember(): boolean {
    return this.#acceptor.chosen.members.includes(this.node);
  }

  /** Whether it wanted to leave, and is no member any more. */
  get hasLeft(): boolean {
    return this.#isLeaving && !this.isMember;
  }

  /** Whether there is something to say that was not said last. */
  get hasNews(): boolean {
    return this.#told !== JSON.stringify(this.#facts());
  }

  /** Says all there is to say. */
  status(): Status {
    const facts = this.#facts();
    this.#told = JSON.stringify(facts);
    return { ...facts, number: ++this.#statuses };
  }

  #facts(): Status {
    return {
      type: "status",
      number: 0,
      ...{ address: this.#addresses.control, rings: this.#addresses.rings },
      version: this.#acceptor.chosen.version,
      ...{ step: this.#step, hash: this.#hash, isReady: this.#isReady, work: this.#work },
      ...{ attempt: this.#attempt?.end ?? null, isLeaving: this.#isLeaving },
    };
  }

  /** The host has a state, and can begin the step after it; `work` is what the others are to do there if this node leads. */
  ready(step: number, hash: string, work: string | null): void {
    [this.#step, this.#hash, this.#work] = [step, hash, work];
    [this.#isReady, this.#fetching] = [true, ""];
  }

  /** The host has come to an end with a step. Of one that it was not asked for, or no longer, nobody wants to know. */
  ended(end: AttemptStatus): void {
    const { epoch, step } = end;
    if (this.#attempt?.epoch === epoch && this.#attempt.step === step)
      this.#attempt = { ...this.#attempt, end };
  }

  leave(): void {
    this.#isLeaving = true;
  }

  /**
   * Obeys the leader; false for an order of one that was deposed. What is chosen is chosen, whoever says so; and who is no
   * member obeys whoever leads the members, whatever it has promised when it was one.
   */
  obey(order: Order): boolean {
    const { ballot, number, record, isMoving } = order;
    this.#acceptor.learn(record);
    if (this.isMember && !this.#acceptor.promise(ballot)) return false;
    const isLate =
      compareBallots(ballot, this.#ordered.ballot) === 0 && number <= this.#ordered.number;
    if (isLate) return true;
    this.#ordered = { ballot, number };
    // one that is behind what is chosen is of no use
    if (record.version < this.#acceptor.chosen.version) return true;
    // a leader before may have had votes for its step: until another record is chosen, one of them may make it everybody's
    const isOver = !isMoving && compareBallots(ballot, this.#attempt?.ballot ?? ballot) === 0;
    if (isOver || this.#attempt?.epoch !== record.epoch) this.#abort();
    if (this.#hasState(record)) {
      if (isMoving && this.isMember && !this.#attempt) this.#move(order);
    } else this.#fetch(order);
    return true;
  }

  /** A record is chosen. What was moved becomes the state where the record says so, and is gone in any other case. */
  onChosen({ epoch, step, hash }: ClusterRecord): void {
    const end = this.#attempt?.end;
    if (end?.epoch === epoch && end.step === step && end.hash === hash) {
      this.#attempt = undefined;
      [this.#step, this.#hash, this.#isReady, this.#work] = [step, hash, false, null];
      this.#host.commit(epoch, step);
    } else if (this.#attempt?.epoch !== epoch || step > this.#step) this.#abort();
  }

  #hasState({ step, hash }: ClusterRecord): boolean {
    return this.#step === step && this.#hash === hash;
  }

  #move({ record: { epoch, step, members }, work, ballot }: Order): void {
    this.#attempt = { epoch, step: step + 1, ballot, end: undefined };
    this.#host.move({ epoch, step: step + 1, members, work, leader: ballot.node });
  }

  #fetch({ record: { step, hash }, sources }: Order): void {
    const others = sources.filter((source) => source !== this.node);
    const wanted = `${step} ${hash} ${others}`;
    if (others.length === 0 || this.#fetching === wanted || this.#isLeaving) return;
    this.#fetching = wanted;
    [this.#isReady, this.#work] = [false, null];
    this.#host.fetch({ step, hash, sources: others });
  }

  #abort(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt) this.#host.abort(attempt.epoch);
  }
}
