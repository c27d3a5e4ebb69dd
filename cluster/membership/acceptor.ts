/** A member's vote on the records of its cluster. */
import { type Ballot, compareBallots, NO_BALLOT } from "./ballot.ts";
import { type ClusterRecord, NO_RECORD } from "./record.ts";

/** A record that was voted for, and under which ballot. */
export interface Vote {
  readonly ballot: Ballot;
  readonly record: ClusterRecord;
}

/**
 * An acceptor of Paxos, for one record after the other. The next record is voted on by the members of the one before, which an
 * acceptor therefore has to know. It keeps nothing over a restart: a process that was started again is another node, and none
 * of these.
 *
 * Source    L. Lamport, Paxos Made Simple, 2001; members that change with what is chosen: Lamport, Malkhi, Zhou, Reconfiguring
 *           a State Machine, 2010, with α = 1.
 */
export class Acceptor {
  readonly #onChosen: (record: ClusterRecord) => void;
  #promised: Ballot = NO_BALLOT;
  #chosen: ClusterRecord = NO_RECORD;
  #vote: Vote | undefined;

  /** @param onChosen hears of each chosen record that is news, once it is known */
  constructor(onChosen: (record: ClusterRecord) => void) {
    this.#onChosen = onChosen;
  }

  /** The latest record that is known to be chosen. */
  get chosen(): ClusterRecord {
    return this.#chosen;
  }

  get promised(): Ballot {
    return this.#promised;
  }

  /** For the record behind the chosen one. */
  get vote(): Vote | undefined {
    return this.#vote;
  }

  /** Promises to vote under no lower ballot; false where a higher one was promised. */
  promise(ballot: Ballot): boolean {
    if (compareBallots(ballot, this.#promised) < 0) return false;
    this.#promised = ballot;
    return true;
  }

  /** Votes for a record; false where a higher ballot was promised, or the record is not the next. */
  accept(ballot: Ballot, record: ClusterRecord): boolean {
    if (record.version !== this.#chosen.version + 1 || !this.promise(ballot)) return false;
    this.#vote = { ballot, record };
    return true;
  }

  /** Takes note of a record that was chosen. */
  learn(record: ClusterRecord): void {
    if (record.version <= this.#chosen.version) return;
    this.#chosen = record;
    if (this.#vote && this.#vote.record.version <= record.version) this.#vote = undefined;
    this.#onChosen(record);
  }
}
