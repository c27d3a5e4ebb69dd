/** Getting records chosen: the other side of the acceptors. */
import type { Acceptor, Vote } from "./acceptor.ts";
import { type Ballot, compareBallots } from "./ballot.ts";
import type { Accepted, MembershipMessage, Pledge } from "./message.ts";
import { type ClusterRecord, isQuorum, type NodeId } from "./record.ts";

/** Sends a message to a node, which may be oneself. It may get lost. */
export type Send = (to: NodeId, message: MembershipMessage) => void;

/**
 * A proposer of Paxos under one ballot. It asks for promises until a quorum of the members of the latest record has given one,
 * and proposes again what may have been chosen before. Then it is elected, and proposes one record after the other, each to the
 * members of the one before.
 */
export class Proposer {
  readonly ballot: Ballot;
  readonly #acceptor: Acceptor;
  readonly #send: Send;
  readonly #pledged = new Set<NodeId>();
  /** Of those that came with promises, for the latest record, the one under the highest ballot. */
  #vote: Vote | undefined;
  #isElected = false;
  /** Version of the record that it was elected behind, or has had chosen: behind one of somebody else's it is not elected. */
  #frontier = 0;
  #proposed: ClusterRecord | undefined;
  readonly #voters = new Set<NodeId>();

  /** @param acceptor of the node itself, which learns what is chosen */
  constructor(ballot: Ballot, acceptor: Acceptor, send: Send) {
    this.ballot = ballot;
    this.#acceptor = acceptor;
    this.#send = send;
  }

  /** Whether records may be proposed. */
  get isElected(): boolean {
    return this.#isElected && this.#frontier === this.#acceptor.chosen.version;
  }

  /** Whether a record is being voted on. */
  get isWriting(): boolean {
    return this.#proposed !== undefined;
  }

  /** Asks those who have not answered, for the first time or again. */
  ask(): void {
    // a record that was learned meanwhile may have fewer members
    this.#elect();
    const { ballot } = this;
    const { chosen } = this.#acceptor;
    const record = this.#proposed;
    const answered = record ? this.#voters : this.#pledged;
    for (const member of chosen.members) {
      if (answered.has(member)) continue;
      if (record) this.#send(member, { type: "accept", ballot, chosen, record });
      else if (!this.#isElected) this.#send(member, { type: "prepare", ballot });
    }
  }

  /** Proposes the record behind the chosen one: when elected, and one at a time. */
  propose(record: ClusterRecord): void {
    this.#proposed = record;
    this.#voters.clear();
    this.ask();
  }

  /** Takes a promise. */
  onPledge(from: NodeId, { ballot, chosen, vote }: Pledge): void {
    if (this.#isElected || compareBallots(ballot, this.ballot) !== 0) return;
    this.#pledged.add(from);
    if (vote && (!this.#vote || isAbove(vote, this.#vote))) this.#vote = vote;
    const { version } = this.#acceptor.chosen;
    this.#acceptor.learn(chosen);
    // its members are others
    if (this.#acceptor.chosen.version > version) this.ask();
    else this.#elect();
  }

  /** Takes a vote. */
  onAccepted(from: NodeId, { ballot, version }: Accepted): void {
    const record = this.#proposed;
    if (record?.version !== version || compareBallots(ballot, this.ballot) !== 0) return;
    this.#voters.add(from);
    if (!isQuorum(this.#voters, this.#acceptor.chosen.members)) return;
    this.#proposed = undefined;
    if (this.isElected) this.#frontier = record.version;
    this.#acceptor.learn(record);
    this.#elect();
  }

  /**
   * A record that was proposed by somebody else may have been followed by others: whoever is new in it has to promise too.
   * Those that are proposed when elected nobody else can know of.
   */
  #elect(): void {
    const { chosen } = this.#acceptor;
    // somebody knew that it was chosen
    if (this.#proposed && this.#proposed.version <= chosen.version) this.#proposed = undefined;
    if (this.#isElected || this.#proposed) return;
    if (!isQuorum(this.#pledged, chosen.members)) return;
    if (this.#vote?.record.version === chosen.version + 1) this.propose(this.#vote.record);
    else [this.#isElected, this.#frontier] = [true, chosen.version];
  }
}

/** Of two votes for one record the higher ballot counts; one for a later record comes with all that was chosen before. */
function isAbove(a: Vote, b: Vote): boolean {
  const versions = a.record.version - b.record.version;
  return versions > 0 || (versions === 0 && compareBallots(a.ballot, b.ballot) > 0);
}
