/** A cluster in a world of its own: a clock that is moved, a network that loses things, and nodes that die. One seed, one history. */
import { createHash } from "node:crypto";
import { ClusterNode } from "../../../cluster/membership/cluster-node.ts";
import type { ClusterHost, Fetch, Move } from "../../../cluster/membership/host.ts";
import type { MembershipMessage } from "../../../cluster/membership/message.ts";
import { type ClusterOptions, DEFAULT_OPTIONS } from "../../../cluster/membership/options.ts";
import { type ClusterRecord, isQuorum, type NodeId } from "../../../cluster/membership/record.ts";
import { EventQueue } from "./event-queue.ts";
import { type Random, seeded } from "./random.ts";

/** What goes between nodes. */
type Packet =
  | { readonly plane: "control"; readonly message: MembershipMessage }
  | { readonly plane: "ring"; readonly epoch: number; readonly step: number; readonly share: Share }
  | { readonly plane: "fetch"; readonly step: number; readonly hash: string }
  | { readonly plane: "state"; readonly step: number; readonly hash: string };

/** A contribution on its way round the ring. */
interface Share {
  readonly of: NodeId;
  readonly value: number;
}

/** A step that a node is moving: what has come so far, and what state would follow. */
interface MoveUnderWay extends Move {
  readonly shares: Map<NodeId, number>;
  hash: string;
}

/** How the network behaves. Shares are of all messages, times are milliseconds. */
export interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  readonly delay: number;
  /** A delay that is now and then much longer. */
  readonly spike: number;
}

export const FAIR: Weather = { drop: 0, duplicate: 0, delay: 2, spike: 0 };

/** Milliseconds without news from the predecessor, after which a move has failed. */
const PROGRESS_DEADLINE = 2000;
const TICK = 200;
/** Milliseconds that a contribution takes at most. */
const COMPUTE = 300;

/** See the file's head. Throws at the first thing that must never be. */
export class Simulation {
  readonly random: Random;
  readonly options: ClusterOptions;
  readonly nodes: SimulatedNode[] = [];
  /** By version. */
  readonly records = new Map<number, string>();
  /** By step: the hash of the one state that it has. */
  readonly states = new Map<number, string>();
  weather: Weather = FAIR;
  now = 0;
  /** The latest that is chosen, known to whomever. */
  latest: ClusterRecord | undefined;
  readonly #events = new EventQueue();
  readonly #cut = new Set<string>();
  #orders = 0;

  constructor(seed: number, options: Partial<ClusterOptions> = {}) {
    this.random = seeded(seed);
    this.options = { ...DEFAULT_OPTIONS, ...options };
  }

  get alive(): SimulatedNode[] {
    return this.nodes.filter(({ isAlive }) => isAlive);
  }

  /** Whether those that are alive, and mean to stay, can go on without anybody's help. */
  get isViable(): boolean {
    const { alive } = this;
    const hasQuorum = isQuorum(
      alive.map(({ id }) => id),
      this.latest?.members ?? [],
    );
    const staying = alive.filter(({ isLeaving }) => !isLeaving);
    return hasQuorum && staying.length >= Math.max(1, this.options.minWorld);
  }

  /** Adds a node, which founds the cluster if it is the first. */
  add(): SimulatedNode {
    const node = new SimulatedNode(this, `n${this.nodes.length}`);
    this.nodes.push(node);
    node.begin(this.alive.filter((other) => other !== node).map(({ id }) => id));
    return node;
  }

  /** Cuts the way from one node to another, or mends it. */
  cut(from: NodeId, to: NodeId, isCut: boolean): void {
    if (isCut) this.#cut.add(`${from} ${to}`);
    else this.#cut.delete(`${from} ${to}`);
  }

  /** Mends all that can be mended. */
  heal(): void {
    this.weather = FAIR;
    this.#cut.clear();
    for (const node of this.nodes) node.wake();
  }

  send(from: SimulatedNode, to: NodeId, packet: Packet): void {
    const { drop, duplicate, delay, spike } = this.weather;
    const target = this.nodes.find(({ id }) => id === to);
    if (!target?.isAlive || this.#cut.has(`${from.id} ${to}`)) return;
    if (this.random.chance(drop)) return;
    const copies = this.random.chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = this.random.chance(spike) ? 400 * this.random.next() : 0;
      const text = JSON.stringify(packet);
      this.after(delay * (0.5 + this.random.next()) + late, target, () => {
        if (!this.#cut.has(`${from.id} ${to}`)) target.receive(from.id, JSON.parse(text));
      });
    }
  }

  after(ms: number, node: SimulatedNode | undefined, run: () => void): void {
    this.#events.push({ at: this.now + ms, order: this.#orders++, node, run });
  }

  /** Lets time pass. */
  run(ms: number): void {
    const end = this.now + ms;
    for (let event = this.#events.pop(end); event; event = this.#events.pop(end)) {
      this.now = event.at;
      const { node } = event;
      if (node && !node.isAlive) continue;
      if (node?.isHanging) node.defer(event.run);
      else event.run();
    }
    this.now = end;
  }

  /** Says that a node knows a record to be chosen. */
  chosen(record: ClusterRecord): void {
    const text = JSON.stringify(record);
    const known = this.records.get(record.version);
    if (known !== undefined && known !== text)
      throw new Error(`two records are version ${record.version}: ${known} and ${text}`);
    this.records.set(record.version, text);
    const state = this.states.get(record.step);
    if (state !== undefined && state !== record.hash)
      throw new Error(`step ${record.step} has two states, ${state} and ${record.hash}`);
    this.states.set(record.step, record.hash);
    if (record.version > (this.latest?.version ?? 0)) this.latest = record;
  }
}

/** A node of a simulation, and its host. */
export class SimulatedNode implements ClusterHost {
  readonly id: NodeId;
  isAlive = true;
  isHanging = false;
  isLeaving = false;
  step = 0;
  hash = "start";
  readonly #world: Simulation;
  readonly #node: ClusterNode;
  readonly #deferred: (() => void)[] = [];
  #move: MoveUnderWay | undefined;
  /** Shares that came before their move began. */
  #early: { epoch: number; step: number; share: Share }[] = [];
  #known = 0;
  #fetch: Fetch | undefined;

  constructor(world: Simulation, id: NodeId) {
    this.id = id;
    this.#world = world;
    this.#node = new ClusterNode({
      ...{ node: id, host: this, options: world.options, now: world.now },
      addresses: { control: id, ring: id },
      send: (to, message) => world.send(this, to, { plane: "control", message }),
    });
  }

  get isLeading(): boolean {
    return this.isAlive && this.#node.isLeading;
  }

  begin(others: readonly NodeId[]): void {
    if (this.#world.nodes.length === 1) this.#node.found(0, "start");
    else {
      this.step = -1;
      this.#node.join(others);
    }
    this.#noted();
    if (this.step === 0) this.#contribute();
    const tick = (): void => {
      this.#node.tick(this.#world.now);
      this.#noted();
      this.#world.after(TICK, this, tick);
    };
    this.#world.after(TICK * this.#world.random.next(), this, tick);
  }

  /** The process is gone; whoever has a connection with it hears of it soon, or by its silence. */
  die(): void {
    this.isAlive = false;
    for (const other of this.#world.alive)
      if (this.#world.random.chance(0.7))
        this.#world.after(10, other, () => other.#node.lost(this.id, this.#world.now));
  }

  hang(): void {
    this.isHanging = true;
  }

  wake(): void {
    this.isHanging = false;
    for (const run of this.#deferred.splice(0)) this.#world.after(0, this, run);
  }

  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  leave(): void {
    this.isLeaving = true;
    this.#node.leave();
  }

  receive(from: NodeId, packet: Packet): void {
    switch (packet.plane) {
      case "control":
        this.#node.receive(from, packet.message, this.#world.now);
        break;
      case "ring":
        this.#take(packet);
        break;
      case "fetch":
        if (packet.step === this.step && packet.hash === this.hash)
          this.#world.send(this, from, { plane: "state", step: this.step, hash: this.hash });
        break;
      case "state":
        if (this.#fetch?.step === packet.step && this.#fetch.hash === packet.hash) {
          [this.step, this.hash, this.#fetch] = [packet.step, packet.hash, undefined];
          this.#contribute();
        }
    }
    this.#noted();
  }

  move(move: Move): void {
    if (move.step !== this.step + 1)
      throw new Error(`${this.id} is to move ${move.step}, and has ${this.step}`);
    const own = contributionOf(this.id, move.step);
    this.#move = { ...move, shares: new Map([[this.id, own]]), hash: "" };
    this.#pass(this.id, own);
    for (const { epoch, step, share } of this.#early.splice(0)) this.#take({ epoch, step, share });
    this.#expectNews(this.#move.shares.size);
  }

  abort(epoch: number): void {
    if (this.#move?.epoch === epoch) this.#move = undefined;
  }

  commit(epoch: number, step: number): void {
    const move = this.#move;
    if (move?.epoch !== epoch || move.step !== step || move.hash === "")
      throw new Error(
        `${this.id} is to commit step ${step} of epoch ${epoch}, and has not moved it`,
      );
    [this.step, this.hash, this.#move] = [step, move.hash, undefined];
    this.#check();
    this.#contribute();
  }

  fetch(fetch: Fetch): void {
    this.#move = undefined;
    this.#fetch = fetch;
    const ask = (): void => {
      if (this.#fetch !== fetch) return;
      const source = fetch.sources[this.#world.random.below(fetch.sources.length)] as NodeId;
      const { step, hash } = fetch;
      this.#world.send(this, source, { plane: "fetch", step, hash });
      this.#world.after(300, this, ask);
    };
    ask();
  }

  end(): void {
    this.isAlive = false;
  }

  lead(isLeading: boolean): void {
    if (isLeading && this.step >= 0 && !this.#move && !this.#fetch) this.#contribute();
  }

  /** What comes before a step takes its time; whoever leads says what is to be done in it, and nobody else knows. */
  #contribute(): void {
    const { step, hash } = this;
    this.#world.after(COMPUTE * this.#world.random.next(), this, () => {
      if (this.step !== step || this.hash !== hash || this.#fetch) return;
      this.#node.ready(step, hash, this.isLeading ? `work of ${this.id}` : null);
      this.#noted();
    });
  }

  #take({ epoch, step, share }: { epoch: number; step: number; share: Share }): void {
    const move = this.#move;
    if (move?.epoch !== epoch || move.step !== step) {
      if (step > this.step && this.#early.length < 64) this.#early.push({ epoch, step, share });
      return;
    }
    if (move.shares.has(share.of)) return;
    move.shares.set(share.of, share.value);
    this.#pass(share.of, share.value);
    this.#expectNews(move.shares.size);
  }

  /** Hands a share on to the successor, who has not seen it, unless it is its own. */
  #pass(of: NodeId, value: number): void {
    const { members, epoch, step } = this.#move as Move;
    const next = members[(members.indexOf(this.id) + 1) % members.length] as NodeId;
    if (next !== of && next !== this.id)
      this.#world.send(this, next, { plane: "ring", epoch, step, share: { of, value } });
  }

  /** Either all shares are there, or one more must come in time. */
  #expectNews(seen: number): void {
    const move = this.#move as MoveUnderWay;
    const { epoch, step, members, shares } = move;
    if (shares.size === members.length) {
      const sum = `${move.work} ${members.map((member) => shares.get(member)).join("+")}`;
      move.hash = createHash("sha1").update(`${this.hash} ${sum}`).digest("hex").slice(0, 12);
      this.#world.after(0, this, () => {
        this.#node.ended({ epoch, step, hash: move.hash, suspect: null });
        this.#noted();
      });
      return;
    }
    const before = members[(members.indexOf(this.id) + members.length - 1) % members.length];
    this.#world.after(PROGRESS_DEADLINE, this, () => {
      if (this.#move !== move || shares.size !== seen) return;
      this.#node.ended({ epoch, step, hash: null, suspect: before ?? null });
    });
  }

  #check(): void {
    const known = this.#world.states.get(this.step);
    if (known !== undefined && known !== this.hash)
      throw new Error(`${this.id} has ${this.hash} at step ${this.step}, others have ${known}`);
  }

  /** What the node knows to be chosen is known to the world. */
  #noted(): void {
    const { record } = this.#node;
    if (record.version === this.#known || record.version === 0) return;
    this.#known = record.version;
    this.#world.chosen(record);
    if (this.step >= 0) this.#check();
  }
}

function contributionOf(node: NodeId, step: number): number {
  return createHash("sha1").update(`${node} ${step}`).digest().readUInt16LE(0);
}
