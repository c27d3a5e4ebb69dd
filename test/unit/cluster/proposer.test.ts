import { expect, it } from "vitest";
import { Acceptor } from "../../../cluster/membership/acceptor.ts";
import type { MembershipMessage } from "../../../cluster/membership/message.ts";
import { Proposer } from "../../../cluster/membership/proposer.ts";
import { type ClusterRecord, isQuorum, type NodeId } from "../../../cluster/membership/record.ts";
import { type Random, seeded } from "../../support/cluster/random.ts";

const NAMES = ["a", "b", "c", "d", "e"];

interface Letter {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: MembershipMessage;
}

/** Nodes that all want to lead, and a post that loses, doubles and mixes up their letters. */
class Contest {
  readonly chosen = new Map<number, string>();
  readonly #random: Random;
  readonly #acceptors = new Map<NodeId, Acceptor>();
  readonly #proposers = new Map<NodeId, Proposer>();
  readonly #post: Letter[] = [];
  #proposals = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    const members = NAMES.slice(0, 1 + this.#random.below(NAMES.length));
    for (const name of NAMES) {
      const acceptor = new Acceptor((record) => this.#onChosen(record));
      acceptor.learn({ version: 1, epoch: 1, members, step: 0, hash: "" });
      this.#acceptors.set(name, acceptor);
    }
  }

  run(turns: number): void {
    for (let i = 0; i < turns; i++) {
      const name = this.#random.pick(NAMES);
      const kind = this.#random.next();
      if (kind < 0.03) this.#campaign(name);
      else if (kind < 0.2) this.#propose(name);
      else this.#deliver();
    }
  }

  #onChosen(record: ClusterRecord): void {
    const text = JSON.stringify(record);
    expect(this.chosen.get(record.version) ?? text).toBe(text);
    this.chosen.set(record.version, text);
  }

  #campaign(name: NodeId): void {
    const acceptor = this.#acceptors.get(name) as Acceptor;
    if (!acceptor.chosen.members.includes(name)) return;
    const ballot = { round: acceptor.promised.round + 1, node: name };
    const proposer = new Proposer(ballot, acceptor, (to, message) => {
      this.#post.push({ from: name, to, message });
    });
    this.#proposers.set(name, proposer);
    proposer.ask();
  }

  #propose(name: NodeId): void {
    const proposer = this.#proposers.get(name);
    if (!proposer) return;
    proposer.ask();
    if (!proposer.isElected || proposer.isWriting) return;
    const { version, epoch } = (this.#acceptors.get(name) as Acceptor).chosen;
    const some = NAMES.filter(() => this.#random.chance(0.6));
    const members = some.length > 0 ? some : [name];
    proposer.propose({ version: version + 1, epoch, members, step: ++this.#proposals, hash: name });
  }

  #deliver(): void {
    const { length } = this.#post;
    if (length === 0) return;
    const at = this.#random.below(length);
    const letter = this.#post[at] as Letter;
    if (!this.#random.chance(0.2)) this.#post.splice(at, 1);
    if (!this.#random.chance(0.1)) this.#read(letter);
  }

  #read({ from, to, message }: Letter): void {
    const acceptor = this.#acceptors.get(to) as Acceptor;
    const answer = (reply: MembershipMessage): void =>
      void this.#post.push({ from: to, to: from, message: reply });
    if (message.type === "prepare" && acceptor.promise(message.ballot)) {
      const { chosen, vote = null } = acceptor;
      answer({ type: "pledge", ballot: message.ballot, chosen, vote });
    } else if (message.type === "accept") {
      acceptor.learn(message.chosen);
      const { ballot, record } = message;
      if (acceptor.accept(ballot, record))
        answer({ type: "accepted", ballot, version: record.version });
    } else if (message.type === "pledge") this.#proposers.get(to)?.onPledge(from, message);
    else if (message.type === "accepted") this.#proposers.get(to)?.onAccepted(from, message);
  }
}

it("of each version one record is chosen, however many lead and whatever the post does", () => {
  let most = 0;
  for (let seed = 0; seed < 3000; seed++) {
    const contest = new Contest(seed);
    contest.run(400);
    most = Math.max(most, contest.chosen.size);
  }
  expect(most).toBeGreaterThan(8);
});

it("two quorums of the same members have one in common", () => {
  for (let size = 1; size <= 6; size++) {
    const members = Array.from({ length: size }, (_, i) => `n${i}`);
    const subsets = Array.from({ length: 2 ** size }, (_, bits) =>
      members.filter((_, i) => (bits >> i) & 1),
    );
    const quorums = subsets.filter((subset) => isQuorum(subset, members));
    for (const a of quorums)
      for (const b of quorums) expect(a.some((id) => b.includes(id))).toBe(true);
    // and of two halves one is a quorum: a cluster of two outlives the death of its second
    for (const subset of subsets)
      expect(isQuorum(subset, members)).toBe(
        !isQuorum(
          members.filter((id) => !subset.includes(id)),
          members,
        ),
      );
  }
});
