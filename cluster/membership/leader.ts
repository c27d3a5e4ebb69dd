/** The node that leads: it decides who moves what, and has the records chosen that say so. */
import type { Acceptor } from "./acceptor.ts";
import type { Ballot } from "./ballot.ts";
import type { Accepted, Order, Pledge, Status } from "./message.ts";
import type { ClusterOptions } from "./options.ts";
import { Proposer, type Send } from "./proposer.ts";
import { type ClusterRecord, isQuorum, type NodeId } from "./record.ts";

/** Of `lostAfter`: those who have left for good are not kept. */
const FORGET_AFTER = 20;

/** What is known of another node, or of the leader's own. */
interface Peer {
  status: Status | undefined;
  heardAt: number;
  isLost: boolean;
  /** Attempts of this step that have failed by it. */
  strikes: number;
  bannedUntil: number;
  /** How long it has kept the others waiting. */
  waited: number;
}

/** What a leader is made of. */
export interface LeaderParts {
  readonly node: NodeId;
  readonly ballot: Ballot;
  readonly acceptor: Acceptor;
  readonly send: Send;
  readonly options: ClusterOptions;
  readonly now: number;
  /** Who has led before, and when that node was last heard: it need not be waited for once more. */
  readonly before?: { readonly node: NodeId; readonly heardAt: number };
}

/**
 * See the file's head. A step is moved by all members of an epoch, and committed when all have the same state; when one is
 * lost meanwhile, or cannot, the attempt is over for all, and the others go on in an epoch of their own.
 *
 * A commit is a record like any other: what a leader has not had chosen its successor decides, and members change their state
 * on chosen records only. So every member commits a step, or none does.
 */
export class Leader {
  readonly #parts: LeaderParts;
  readonly #proposer: Proposer;
  readonly #peers = new Map<NodeId, Peer>();
  #orders = 0;
  /** That is committed. */
  #step: number;
  #isMoving = false;
  /** Of the step that is moving. */
  #work = "";
  /** Whether something was moved in this epoch that was not committed: it is over then. At first nobody knows. */
  #isSpent = true;
  #now: number;

  constructor(parts: LeaderParts) {
    this.#parts = parts;
    this.#now = parts.now;
    this.#step = parts.acceptor.chosen.step;
    this.#proposer = new Proposer(parts.ballot, parts.acceptor, parts.send);
    // those who are not there are lost when they have been silent for long enough
    for (const member of parts.acceptor.chosen.members) this.#peer(member);
    if (parts.before) this.#peer(parts.before.node).heardAt = parts.before.heardAt;
    this.#proposer.ask();
  }

  get ballot(): Ballot {
    return this.#parts.ballot;
  }

  get isElected(): boolean {
    return this.#proposer.isElected;
  }

  onPledge(from: NodeId, pledge: Pledge): void {
    this.#act(() => this.#proposer.onPledge(from, pledge));
  }

  onAccepted(from: NodeId, accepted: Accepted): void {
    this.#act(() => this.#proposer.onAccepted(from, accepted));
  }

  onStatus(from: NodeId, status: Status, now: number): void {
    const peer = this.#peer(from);
    peer.heardAt = this.#now = now;
    peer.isLost = false;
    if (status.number <= (peer.status?.number ?? 0)) return;
    this.#act(() => {
      peer.status = status;
    });
  }

  /** A node is gone, as far as can be seen from here. */
  lost(node: NodeId): void {
    const peer = this.#peers.get(node);
    if (!peer) return;
    this.#act(() => {
      peer.isLost = true;
    });
  }

  /** A record was chosen, by this leader or before it. */
  onChosen({ step }: ClusterRecord): void {
    this.#isMoving = false;
    this.#isSpent = !this.#proposer.isElected;
    // a new epoch is another attempt at the same step
    if (step === this.#step) return;
    this.#step = step;
    for (const peer of this.#peers.values()) peer.strikes = 0;
  }

  /** Time has passed: asks again, gives up on the silent, and tells everybody what is the case. */
  tick(now: number): void {
    const passed = now - this.#now;
    this.#now = now;
    const { node, options, acceptor } = this.#parts;
    const { lostAfter } = options;
    const { members } = acceptor.chosen;
    for (const [id, peer] of this.#peers) {
      const silence = now - peer.heardAt;
      if (id !== node && silence > lostAfter) peer.isLost = true;
      if (!this.#isMoving && this.#isAwaited(id)) peer.waited += passed;
      const isForgotten = silence > FORGET_AFTER * lostAfter && peer.bannedUntil <= now;
      if (isForgotten && id !== node && !members.includes(id)) this.#peers.delete(id);
    }
    this.#proposer.ask();
    this.#decide();
    this.#tell();
  }

  #peer(node: NodeId): Peer {
    const known = this.#peers.get(node);
    if (known) return known;
    const made = {
      ...{ status: undefined, heardAt: this.#now, isLost: false },
      ...{ strikes: 0, bannedUntil: Number.NEGATIVE_INFINITY, waited: 0 },
    };
    this.#peers.set(node, made);
    return made;
  }

  /** Takes news, decides, and tells everybody where the orders are no longer the same. */
  #act(take: () => void): void {
    const before = [this.#parts.acceptor.chosen, this.#isMoving, this.isElected];
    take();
    this.#decide();
    const after = [this.#parts.acceptor.chosen, this.#isMoving, this.isElected];
    if (after.some((value, i) => value !== before[i])) this.#tell();
  }

  #decide(): void {
    if (!this.#proposer.isElected || this.#proposer.isWriting) return;
    const { node, acceptor } = this.#parts;
    const { chosen } = acceptor;
    // one that has left only says so
    if (!chosen.members.includes(node)) return;
    if (this.#isMoving) this.#watch(chosen);
    else this.#gather(chosen);
  }

  /** While the members move a step: it ends when all have come to an end with it, or one never will. */
  #watch(record: ClusterRecord): void {
    const { members, epoch, step, version } = record;
    const ends = members.flatMap((member) => {
      const attempt = this.#peer(member).status?.attempt;
      return attempt?.epoch === epoch && attempt.step === step + 1 ? [{ member, ...attempt }] : [];
    });
    const failed = ends.find(({ hash }) => hash === null);
    const hash = mostFrequent(ends.flatMap((end) => end.hash ?? []));
    const isWhole = ends.length === members.length;
    const dissenter = isWhole ? ends.find((end) => end.hash !== hash) : undefined;
    if (failed) this.#stop(failed.suspect);
    else if (members.some((member) => this.#peer(member).isLost)) this.#stop(null);
    else if (dissenter) this.#stop(dissenter.member);
    else if (isWhole)
      this.#proposer.propose({ version: version + 1, epoch, members, step: step + 1, hash });
  }

  /** The attempt is over for all. */
  #stop(suspect: NodeId | null): void {
    this.#isMoving = false;
    this.#isSpent = true;
    if (suspect === null) return;
    const { strikes, ban } = this.#parts.options;
    const peer = this.#peer(suspect);
    if (++peer.strikes >= strikes) peer.bannedUntil = this.#now + ban;
  }

  /** Between two moves: who is there begins the next one, and who has waited for it is let in. */
  #gather(record: ClusterRecord): void {
    const { minWorld, maxWorld } = this.#parts.options;
    const { members, version, epoch, step, hash } = record;
    const here = members.filter((member) => this.#isHere(member));
    if (!isQuorum(here, members)) return;
    if (here.some((member) => (this.#peer(member).status?.version ?? 0) < version)) return;
    const staying = here.filter((member) => !this.#peer(member).status?.isLeaving);
    const current = staying.filter((member) => this.#hasState(member));
    if (current.some((member) => !this.#peer(member).status?.isReady)) return;
    const room = maxWorld - current.length;
    const others = [...this.#peers.keys()].filter(
      (id) => !current.includes(id) && this.#isHere(id),
    );
    const arrived = others.filter((id) => this.#isArrived(id)).slice(0, room);
    if (arrived.length < room && others.some((id) => this.#isAwaited(id))) return;
    const next = [...current, ...arrived].sort();
    // when all leave, the last record has no members, and no other follows it
    const isOver = staying.length === 0 && next.length === 0;
    if (next.length === 0 && !isOver) return;
    const isSame = next.length === members.length && next.every((id, i) => id === members[i]);
    if (!isSame || this.#isSpent)
      this.#proposer.propose({ version: version + 1, epoch: epoch + 1, members: next, step, hash });
    else if (next.length >= minWorld) this.#begin();
  }

  /** Begins to move, once this node's own host has said what. */
  #begin(): void {
    const { status } = this.#peer(this.#parts.node);
    if (typeof status?.work !== "string") return;
    this.#work = status.work;
    this.#isMoving = true;
  }

  #isHere(node: NodeId): boolean {
    const { isLost, bannedUntil } = this.#peer(node);
    return !isLost && bannedUntil <= this.#now;
  }

  #hasState(node: NodeId): boolean {
    const { chosen } = this.#parts.acceptor;
    const { status } = this.#peer(node);
    return status?.step === chosen.step && status.hash === chosen.hash;
  }

  /** Whether a newcomer has all that it needs. */
  #isArrived(node: NodeId): boolean {
    const { status } = this.#peer(node);
    const isKnowing = status?.version === this.#parts.acceptor.chosen.version;
    return isKnowing && status.isReady && !status.isLeaving && this.#hasState(node);
  }

  /** Whether a newcomer is worth waiting for. */
  #isAwaited(node: NodeId): boolean {
    const { status, waited } = this.#peer(node);
    const isNew = !this.#parts.acceptor.chosen.members.includes(node) || !this.#hasState(node);
    const isComing = this.#isHere(node) && status !== undefined && !status.isLeaving;
    return isNew && isComing && !this.#isArrived(node) && waited < this.#parts.options.patience;
  }

  /** Tells everybody what is the case. */
  #tell(): void {
    if (!this.#proposer.isElected) return;
    const { acceptor, ballot, send } = this.#parts;
    const { chosen: record } = acceptor;
    const order: Order = {
      ...{ type: "order", ballot, number: ++this.#orders, record },
      isKnown: isQuorum(
        record.members.filter((id) => (this.#peer(id).status?.version ?? 0) >= record.version),
        record.members,
      ),
      ...{ isMoving: this.#isMoving, work: this.#isMoving ? this.#work : "" },
      sources: record.members.filter((member) => this.#isHere(member) && this.#hasState(member)),
      addresses: Object.fromEntries(
        [...this.#peers].flatMap(([id, { status }]) =>
          status ? [[id, { control: status.address, rings: status.rings }]] : [],
        ),
      ),
    };
    for (const node of this.#peers.keys()) send(node, order);
  }
}

/** Of equally frequent ones the first. */
function mostFrequent(values: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [[most] = [""]] = [...counts].sort((a, b) => b[1] - a[1]);
  return most;
}
