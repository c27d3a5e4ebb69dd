/** A cluster in a world of its own: a clock that is moved, a network that loses things, and nodes that die. One seed, one history. */
import { type ClusterOptions, DEFAULT_OPTIONS } from "../../../cluster/membership/options.ts";
import {
  type ClusterRecord,
  isQuorum,
  NO_RECORD,
  type NodeId,
} from "../../../cluster/membership/record.ts";
import { EventQueue } from "./event-queue.ts";
import { Network } from "./network.ts";
import { type Random, seeded } from "./random.ts";
import { contributionTo, ELEMENTS, hashOf, stateAfter } from "./simulated-memory.ts";
import { SimulatedNode } from "./simulated-node.ts";

/** A state, and its hash. */
interface Truth {
  readonly state: Float32Array;
  readonly hash: string;
}

/** See the file's head. Throws at the first thing that must never be. */
export class Simulation {
  readonly random: Random;
  readonly options: ClusterOptions;
  readonly nodes: SimulatedNode[] = [];
  readonly network: Network;
  /** By version. */
  readonly records = new Map<number, string>();
  /** By step: the hash of the one state that it has. */
  readonly states = new Map<number, string>();
  now = 0;
  /** The latest that is chosen, known to whomever. */
  latest: ClusterRecord | undefined;
  /** Told what happens, where somebody wants to know. */
  onTrace: ((text: string) => void) | undefined;
  readonly #events = new EventQueue();
  readonly #names = new Map<NodeId, SimulatedNode>();
  /** What the states must be, reckoned without a ring. */
  readonly #truth = new Map<number, Truth>([[0, { state: new Float32Array(ELEMENTS), hash: "" }]]);
  #orders = 0;

  constructor(seed: number, options: Partial<ClusterOptions> = {}) {
    this.random = seeded(seed);
    this.options = { ...DEFAULT_OPTIONS, ...options };
    this.network = new Network({
      random: this.random,
      after: (ms, to, run) => this.after(ms, this.#names.get(to), run),
      deliver: (from, to, packet) => this.#names.get(to)?.receive(from, packet),
      slownessOf: (id) => this.#names.get(id)?.slowness ?? 0,
    });
  }

  get alive(): SimulatedNode[] {
    return this.nodes.filter(({ isAlive }) => isAlive);
  }

  /** Those who are alive, and mean to stay. */
  get staying(): SimulatedNode[] {
    return this.alive.filter(({ isLeaving }) => !isLeaving);
  }

  /**
   * Whether they can go on without anybody's help. Where the first of two has had a record chosen by its own vote, and died before it
   * told anybody, the other one can not: what it knows needs the first one's vote.
   */
  get isViable(): boolean {
    const ids = this.alive.map(({ id }) => id);
    const departed = this.nodes.flatMap(({ id, hasDeparted }) => (hasDeparted ? [id] : []));
    const known = this.alive
      .map(({ record }) => record)
      .reduce((a, b) => (b.version > a.version ? b : a), NO_RECORD);
    const hasQuorum = isQuorum(ids, this.latest?.members ?? []);
    // those who have left have seen to it that they are not needed
    const isKnown = isQuorum([...ids, ...departed], known.members);
    return hasQuorum && isKnown && this.staying.length >= Math.max(1, this.options.minWorld);
  }

  /** Whether all who mean to stay are members. */
  get isWhole(): boolean {
    const members = this.latest?.members ?? [];
    return this.staying.every(({ id }) => members.includes(id));
  }

  node(id: NodeId): SimulatedNode | undefined {
    return this.#names.get(id);
  }

  /** Adds a node, which founds the cluster if it is the first. */
  add(): SimulatedNode {
    const node = new SimulatedNode(this, this.nodes.length);
    this.nodes.push(node);
    this.#names.set(node.id, node);
    node.begin(this.alive.filter((other) => other !== node).map(({ id }) => id));
    return node;
  }

  /** Mends all that can be mended. */
  heal(): void {
    this.network.heal();
    for (const node of this.nodes) node.wake();
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

  trace(text: () => string): void {
    this.onTrace?.(`${this.now.toFixed(1).padStart(9)} ${text()}`);
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
    if (record.version <= (this.latest?.version ?? 0)) return;
    this.latest = record;
    this.trace(() => `chosen: ${text}`);
  }

  /** Says that a node has made a step together with those members; every one of them must be in it, once. */
  committed(step: number, members: readonly NodeId[], hash: string): void {
    const before = this.#truth.get(step - 1);
    if (!before) throw new Error(`step ${step} follows from none`);
    const truth = this.#truth.get(step) ?? this.#truthOf(step, members, before.state);
    this.#truth.set(step, truth);
    if (hash !== truth.hash)
      throw new Error(`step ${step} of ${members} is ${hash}, not ${truth.hash}`);
  }

  #truthOf(step: number, members: readonly NodeId[], before: Float32Array): Truth {
    const slots = members.map((id) => this.#names.get(id)?.slot ?? -1);
    const given = slots.map((slot) => contributionTo(step, slot));
    const state = stateAfter(before, given);
    return { state, hash: hashOf(state) };
  }
}
