/** A node of a cluster: a member that votes, and leads when it is its turn. */
import { Acceptor } from "./acceptor.ts";
import { type Ballot, compareBallots } from "./ballot.ts";
import type { ClusterHost } from "./host.ts";
import { Leader } from "./leader.ts";
import { Member } from "./member.ts";
import type { Accept, AttemptStatus, MembershipMessage, NodeAddresses, Status } from "./message.ts";
import type { ClusterOptions } from "./options.ts";
import type { Send } from "./proposer.ts";
import { type ClusterRecord, isQuorum, type NodeId } from "./record.ts";

/** Nodes whose addresses are remembered: who was left out asks them all who leads. */
const MOST_ADDRESSES = 4096;

/** What a node is made of. */
export interface ClusterNodeParts {
  readonly node: NodeId;
  /** Where others can reach it; texts of theirs. */
  readonly addresses: NodeAddresses;
  readonly host: ClusterHost;
  /** Sends to another node; what cannot be sent is dropped. */
  readonly send: Send;
  readonly options: ClusterOptions;
  /** Milliseconds, on a clock that does not go back. */
  readonly now: number;
}

/**
 * See the file's head. It does nothing by itself: whoever has sockets and timers calls it, with the time, and sends what it
 * wants sent. The same node runs in a process and in a simulation.
 */
export class ClusterNode {
  readonly node: NodeId;
  readonly #parts: ClusterNodeParts;
  readonly #acceptor: Acceptor;
  readonly #member: Member;
  readonly #addresses = new Map<NodeId, NodeAddresses>();
  #leader: Leader | undefined;
  /** Who leads, or means to. */
  #followed: NodeId | undefined;
  /** Whom to ask who leads, as long as nobody does. */
  #contacts: readonly NodeId[] = [];
  /** When whoever leads, or means to, was last heard. */
  #heardAt: number;
  /** When an order was last obeyed. */
  #obeyedAt = Number.NEGATIVE_INFINITY;
  #beatAt = Number.NEGATIVE_INFINITY;
  #campaignedAt = Number.NEGATIVE_INFINITY;
  #now: number;
  /** As the host was told. */
  #wasLeading = false;
  #isOver = false;
  /** Those that know the latest record, as far as this node was told since. */
  readonly #informed = new Set<NodeId>();
  /** Whether a quorum of its members is known to know it. */
  #isKnown = false;
  /** Messages to itself, which are read when the call that wrote them is over. */
  #inbox: MembershipMessage[] = [];

  constructor(parts: ClusterNodeParts) {
    this.node = parts.node;
    this.#parts = parts;
    this.#now = this.#heardAt = parts.now;
    this.#acceptor = new Acceptor((record) => this.#onChosen(record));
    this.#member = new Member(parts, this.#acceptor);
  }

  /** The latest record that the node knows. */
  get record(): ClusterRecord {
    return this.#acceptor.chosen;
  }

  /** Where nodes can be reached that were heard of, whether they are in the cluster or not. */
  get addresses(): ReadonlyMap<NodeId, NodeAddresses> {
    return this.#addresses;
  }

  /** Of the state that the host has; −1 for none. */
  get step(): number {
    return this.#member.step;
  }

  /** Who leads, as far as the node knows. */
  get leader(): NodeId | undefined {
    return this.#followed;
  }

  get isLeading(): boolean {
    return this.#leader?.isElected ?? false;
  }

  /** Whether it has left, and the others can do without it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Begins a cluster, with the state that the host has. */
  found(step: number, hash: string): void {
    this.#do(() => {
      this.#acceptor.learn({ version: 1, epoch: 1, members: [this.node], step, hash });
      this.#campaign();
    });
  }

  /** Asks to be let in. */
  join(contacts: readonly NodeId[]): void {
    this.#do(() => {
      this.#contacts = contacts;
      this.#tell();
    });
  }

  /**
   * The host has a state, and can begin the step after it. `work` is what the others are told of that step if this node leads;
   * with `null` nothing begins before it is called again.
   */
  ready(step: number, hash: string, work: string | null = null): void {
    this.#do(() => {
      this.#member.ready(step, hash, work);
      this.#tell();
    });
  }

  /** The host has come to an end with a step. */
  ended(end: AttemptStatus): void {
    this.#do(() => {
      this.#member.ended(end);
      this.#tell();
    });
  }

  /** Leaves, when the step under way is over; the host is told when the others go on without it. */
  leave(): void {
    this.#do(() => {
      this.#member.leave();
      this.#tell();
    });
  }

  /** Time has passed. To be called several times a beat. */
  tick(now: number): void {
    this.#now = now;
    this.#do(() => {
      if (now - this.#beatAt >= this.#parts.options.beat) {
        this.#beatAt = now;
        this.#tell();
        this.#leader?.tick(now);
      }
      this.#succeed();
    });
  }

  /** A node is gone, as far as can be seen from here. */
  lost(node: NodeId, now: number): void {
    this.#now = now;
    this.#do(() => {
      this.#leader?.lost(node);
      if (node === this.leader) this.#abandon();
    });
  }

  /** A message has come. */
  receive(from: NodeId, message: MembershipMessage, now: number): void {
    this.#now = now;
    this.#do(() => this.#read(from, message));
  }

  #do(act: () => void): void {
    act();
    for (let message = this.#inbox.shift(); message; message = this.#inbox.shift())
      this.#read(this.node, message);
    this.#depart();
    if (this.isLeading === this.#wasLeading) return;
    this.#wasLeading = this.isLeading;
    this.#parts.host.lead(this.isLeading);
  }

  #read(from: NodeId, message: MembershipMessage): void {
    switch (message.type) {
      case "prepare":
        this.#onPrepare(from, message.ballot);
        break;
      case "accept":
        this.#onAccept(from, message);
        break;
      case "order":
        for (const [node, addresses] of Object.entries(message.addresses))
          this.#note(node, addresses);
        if (this.#member.obey(message)) {
          this.#obeyedAt = this.#now;
          this.#follow(from);
          // one that has left says so itself, and nobody has to wait for its silence
          if (!message.record.members.includes(from)) this.#abandon();
          this.#tellNews();
        } else this.#refuse(from);
        this.#noteInformed(from, message.record);
        if (message.isKnown && message.record.version >= this.record.version) this.#isKnown = true;
        break;
      case "pledge":
        this.#leader?.onPledge(from, message);
        this.#noteInformed(from, message.chosen);
        break;
      case "accepted":
        this.#leader?.onAccepted(from, message);
        break;
      case "refusal":
        // of those who were left out it is no matter what they have promised
        if (this.record.members.includes(from)) this.#acceptor.promise(message.promised);
        this.#resign();
        break;
      case "status":
        this.#onStatus(from, message);
        break;
      case "redirect":
        this.#note(message.leader, message.addresses);
    }
  }

  #onStatus(from: NodeId, status: Status): void {
    this.#note(from, { control: status.address, rings: status.rings });
    this.#noteInformed(from, status);
    if (this.#leader) this.#leader.onStatus(from, status, this.#now);
    else this.#redirect(from);
  }

  /** Tells one that has asked the wrong node. */
  #redirect(from: NodeId): void {
    const { leader } = this;
    const addresses = leader && this.#addresses.get(leader);
    if (leader !== undefined && addresses && from !== this.node && !this.#isLeaderSilent)
      this.#send(from, { type: "redirect", leader, addresses });
  }

  #noteInformed(node: NodeId, { version }: Pick<ClusterRecord, "version">): void {
    if (version >= this.record.version) this.#informed.add(node);
  }

  #onAccept(from: NodeId, { ballot, chosen, record }: Accept): void {
    this.#acceptor.learn(chosen);
    this.#noteInformed(from, chosen);
    if (this.#acceptor.accept(ballot, record)) {
      this.#follow(from);
      this.#send(from, { type: "accepted", ballot, version: record.version });
    } else this.#refuse(from);
  }

  /** Promises, unless somebody leads who is there: a node that cannot see the leader shall not depose it. */
  #onPrepare(from: NodeId, ballot: Ballot): void {
    const isLed = this.#now - this.#obeyedAt <= this.#parts.options.lostAfter;
    if (isLed && from !== this.leader && from !== this.node) return;
    if (this.#acceptor.promise(ballot)) {
      this.#follow(from);
      const { chosen, vote = null } = this.#acceptor;
      this.#send(from, { type: "pledge", ballot, chosen, vote });
    } else this.#refuse(from);
  }

  #onChosen(record: ClusterRecord): void {
    this.#informed.clear();
    this.#isKnown = false;
    this.#member.onChosen(record);
    this.#leader?.onChosen(record);
  }

  get #isLeaderSilent(): boolean {
    return this.#now - this.#heardAt > this.#parts.options.lostAfter;
  }

  /** Somebody with the highest ballot so far was heard. */
  #follow(from: NodeId): void {
    this.#heardAt = this.#now;
    this.#followed = from;
    if (from !== this.node) this.#resign();
  }

  /** Whoever leads is gone. The first of the others takes over at once; all at once would be in each other's way. */
  #abandon(): void {
    this.#heardAt = this.#now - this.#parts.options.lostAfter;
    this.#obeyedAt = Number.NEGATIVE_INFINITY;
  }

  #resign(): void {
    const ballot = this.#leader?.ballot;
    if (ballot && compareBallots(ballot, this.#acceptor.promised) < 0) this.#leader = undefined;
  }

  #refuse(from: NodeId): void {
    this.#send(from, { type: "refusal", promised: this.#acceptor.promised });
  }

  /** Members take over from a leader that is silent, the first one first; and one that is no member leads no more. */
  #succeed(): void {
    const { isMember } = this.#member;
    if (!isMember && !this.#member.hasLeft) this.#leader = undefined;
    // who asks already goes on asking, until somebody refuses
    if (!isMember || this.#leader) return;
    const { beat, lostAfter } = this.#parts.options;
    const rank = this.record.members.filter((id) => id !== this.leader).indexOf(this.node);
    const patience = lostAfter + 2 * beat * Math.max(0, rank);
    if (this.#now - Math.max(this.#heardAt, this.#campaignedAt) > patience) this.#campaign();
  }

  /**
   * Ends, once it has left and a quorum of those who go on knows, whoever leads meanwhile: its own vote may have decided that, and
   * then nobody finds it out without it.
   */
  #depart(): void {
    if (this.#isOver || !this.#member.hasLeft) return;
    const { members } = this.record;
    const isKnown = this.#isKnown || isQuorum(this.#informed, members);
    if (members.length > 0 && !isKnown) return;
    this.#isOver = true;
    this.#leader = undefined;
    this.#parts.host.end();
  }

  #campaign(): void {
    this.#campaignedAt = this.#now;
    const { leader } = this;
    this.#leader = new Leader({
      ...(leader !== undefined &&
        leader !== this.node && { before: { node: leader, heardAt: this.#heardAt } }),
      ...{ node: this.node, acceptor: this.#acceptor, now: this.#now },
      ballot: { round: this.#acceptor.promised.round + 1, node: this.node },
      send: (to, message) => this.#send(to, message),
      options: this.#parts.options,
    });
  }

  /** Remembers where a node can be reached; of very many those that were heard of last. */
  #note(node: NodeId, addresses: NodeAddresses): void {
    this.#addresses.delete(node);
    this.#addresses.set(node, addresses);
    const [oldest] = this.#addresses.keys();
    if (this.#addresses.size > MOST_ADDRESSES && oldest !== undefined)
      this.#addresses.delete(oldest);
  }

  /** As {@link #tell}, where something is not as it was told last. */
  #tellNews(): void {
    if (this.#member.hasNews) this.#tell();
  }

  /** Says how things are to whoever leads, or to those who may know who does. */
  #tell(): void {
    const { leader } = this;
    const isLed = leader !== undefined && !this.#isLeaderSilent;
    const others = new Set([...this.#contacts, ...this.record.members, ...this.#addresses.keys()]);
    others.delete(this.node);
    const status = this.#member.status();
    for (const node of isLed ? [leader] : others) this.#send(node, status);
  }

  #send(to: NodeId, message: MembershipMessage): void {
    if (to === this.node) this.#inbox.push(message);
    else this.#parts.send(to, message);
  }
}
