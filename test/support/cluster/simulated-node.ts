/** A node of a simulation, and its host. */
import { ClusterError } from "../../../cluster/error.ts";
import { ClusterNode } from "../../../cluster/membership/cluster-node.ts";
import type { ClusterHost, Fetch, Move } from "../../../cluster/membership/host.ts";
import type { ClusterRecord, NodeId } from "../../../cluster/membership/record.ts";
import { codec, type Packet, type StatePart } from "./packet.ts";
import { contributionTo, digestOf, ELEMENTS, hashOf, plus } from "./simulated-memory.ts";
import { SimulatedRing } from "./simulated-ring.ts";
import type { Simulation } from "./simulation.ts";

const TICK = 200;
/** Milliseconds that a contribution takes at most. */
const COMPUTE = 300;
/** Milliseconds after which a part of a state is asked of somebody else. */
const REFETCH = 300;
/** Bytes of a part of a state. */
const PART = 1024;
const PARTS = Math.ceil((4 * ELEMENTS) / PART);

/** A state that is being fetched. */
interface FetchUnderWay extends Fetch {
  readonly parts: (Uint8Array | undefined)[];
}

/** See the file's head. */
export class SimulatedNode implements ClusterHost {
  readonly id: NodeId;
  /** Of the memory. */
  readonly slot: number;
  isAlive = true;
  isHanging = false;
  isLeaving = false;
  /** It has left, and ended. */
  hasDeparted = false;
  /** Milliseconds that it is behind with everything. */
  slowness = 0;
  step = 0;
  hash = hashOf(new Float32Array(ELEMENTS));
  readonly #world: Simulation;
  readonly #node: ClusterNode;
  readonly #ring: SimulatedRing;
  readonly #deferred: (() => void)[] = [];
  #state: Float32Array = new Float32Array(ELEMENTS);
  #move: Move | undefined;
  /** What it has come to. */
  #next: Float32Array | undefined;
  #known = 0;
  #fetch: FetchUnderWay | undefined;

  constructor(world: Simulation, slot: number) {
    this.id = `n${slot}`;
    this.slot = slot;
    this.#world = world;
    this.#node = new ClusterNode({
      ...{ node: this.id, host: this, options: world.options, now: world.now },
      addresses: { control: this.id, rings: [this.id] },
      send: (to, message) => this.#send(to, { plane: "control", message }),
    });
    this.#ring = new SimulatedRing({
      ...{ node: this.id, slot },
      now: () => world.now,
      after: (ms, run) => world.after(ms, this, run),
      chance: () => world.random.next(),
      send: (to, packet) => this.#send(to, packet),
      ended: (sum, suspect) => this.#ended(sum, suspect),
      onCut: (neighbour, epoch) =>
        world.after(1, world.node(neighbour), () => world.node(neighbour)?.cut(epoch, null)),
    });
  }

  get isLeading(): boolean {
    return this.isAlive && this.#node.isLeading;
  }

  begin(others: readonly NodeId[]): void {
    if (this.#world.nodes.length === 1) this.#node.found(0, this.hash);
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

  /** The latest record that it knows. */
  get record(): ClusterRecord {
    return this.#node.record;
  }

  /** The process is gone; whoever has a connection with it hears of it soon, or by its silence. */
  die(): void {
    this.#world.trace(() => `${this.id} dies`);
    this.isAlive = false;
    const epoch = this.#move?.epoch ?? -1;
    for (const other of this.#world.alive)
      if (this.#world.random.chance(0.7))
        this.#world.after(10, other, () => {
          other.cut(epoch, this.id);
          other.lost(this.id);
        });
  }

  hang(): void {
    this.#world.trace(() => `${this.id} hangs`);
    this.isHanging = true;
  }

  /** Is as fast as ever. */
  wake(): void {
    [this.isHanging, this.slowness] = [false, 0];
    for (const run of this.#deferred.splice(0)) this.#world.after(0, this, run);
  }

  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  leave(): void {
    this.#world.trace(() => `${this.id} leaves`);
    this.isLeaving = true;
    this.#node.leave();
  }

  /** Its connection with another has ended. */
  lost(other: NodeId): void {
    this.#node.lost(other, this.#world.now);
    this.#noted();
  }

  /** Its ring of an epoch has lost a neighbour, which may be to blame. */
  cut(epoch: number, suspect: NodeId | null): void {
    this.#ring.cut(epoch, suspect);
    this.#noted();
  }

  receive(from: NodeId, packet: Packet): void {
    switch (packet.plane) {
      case "control":
        this.#node.receive(from, packet.message, this.#world.now);
        break;
      case "text":
        this.#read(from, packet.text);
        break;
      case "chunk":
        this.#ring.receive(packet);
        break;
      case "fetch":
        if (packet.step === this.step && packet.hash === this.hash) this.#give(from, packet.part);
        break;
      case "state":
        this.#fetched(packet);
    }
    this.#noted();
  }

  move(move: Move): void {
    if (move.step !== this.step + 1)
      throw new Error(`${this.id} is to move ${move.step}, and has ${this.step}`);
    [this.#move, this.#next] = [move, undefined];
    this.#ring.begin(move, contributionTo(move.step, this.slot));
  }

  abort(epoch: number): void {
    if (this.#move?.epoch !== epoch) return;
    [this.#move, this.#next] = [undefined, undefined];
    this.#ring.abort();
    if (this.isLeading) this.#contribute();
  }

  commit(epoch: number, step: number): void {
    const [move, next] = [this.#move, this.#next];
    if (move?.epoch !== epoch || move.step !== step || !next)
      throw new Error(`${this.id} is to commit step ${step} of ${epoch}, and has not moved it`);
    [this.step, this.hash, this.#state] = [step, hashOf(next), next];
    this.#world.committed(step, move.members, this.hash);
    [this.#move, this.#next] = [undefined, undefined];
    this.#check();
    this.#contribute();
  }

  fetch(fetch: Fetch): void {
    [this.#move, this.#next] = [undefined, undefined];
    this.#ring.abort();
    const underWay = { ...fetch, parts: new Array<Uint8Array | undefined>(PARTS).fill(undefined) };
    this.#fetch = underWay;
    const ask = (): void => {
      if (this.#fetch !== underWay) return;
      const { step, hash, sources, parts } = underWay;
      for (const [part, bytes] of parts.entries())
        if (!bytes)
          this.#send(this.#world.random.pick(sources), { plane: "fetch", step, hash, part });
      this.#world.after(REFETCH, this, ask);
    };
    ask();
  }

  end(): void {
    this.hasDeparted = true;
    this.isAlive = false;
  }

  lead(isLeading: boolean): void {
    if (isLeading && this.step >= 0 && !this.#move && !this.#fetch) this.#contribute();
  }

  #send(to: NodeId, packet: Packet): void {
    if (this.isAlive && this.#world.node(to)?.isAlive)
      this.#world.network.send(this.id, to, packet);
  }

  /** Reads what may be no message any more; then the connection is ended, which both sides see. */
  #read(from: NodeId, text: string): void {
    try {
      this.#node.receive(from, codec.decode(text), this.#world.now);
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== "message_invalid") throw error;
      this.lost(from);
      const other = this.#world.node(from);
      this.#world.after(2, other, () => other?.lost(this.id));
    }
  }

  #give(to: NodeId, part: number): void {
    const { buffer, byteOffset, byteLength } = this.#state;
    const from = PART * part;
    const bytes = new Uint8Array(buffer, byteOffset + from, Math.min(PART, byteLength - from));
    this.#send(to, { plane: "state", hash: this.hash, part, bytes });
  }

  /** Takes a part of the state; when all are there it is the state that was asked for, or none of them is believed. */
  #fetched({ hash, part, bytes }: StatePart): void {
    const fetch = this.#fetch;
    if (fetch?.hash !== hash) return;
    fetch.parts[part] ??= bytes;
    if (fetch.parts.includes(undefined)) return;
    const whole = Buffer.concat(fetch.parts as Uint8Array[]);
    if (digestOf(whole) !== hash) {
      fetch.parts.fill(undefined);
      return;
    }
    this.#state = new Float32Array(Uint8Array.from(whole).buffer);
    [this.step, this.hash, this.#fetch] = [fetch.step, hash, undefined];
    this.#contribute();
  }

  /** What comes before a step takes its time; whoever leads says what is to be done in it, and nobody else knows. */
  #contribute(): void {
    const { step, hash } = this;
    this.#world.after(COMPUTE * this.#world.random.next() + this.slowness, this, () => {
      if (this.step !== step || this.hash !== hash || this.#fetch) return;
      this.#node.ready(step, hash, this.isLeading ? `work of ${this.id}` : null);
      this.#noted();
    });
  }

  /** A move is over, with the sum or without. */
  #ended(sum: Float32Array | undefined, suspect: NodeId | null): void {
    const move = this.#move;
    if (!move) return;
    const { epoch, step } = move;
    this.#next = sum && plus(this.#state, sum);
    const hash = this.#next ? hashOf(this.#next) : null;
    if (hash === null)
      this.#world.trace(() => `${this.id} cannot move ${step} of ${epoch}: ${suspect}`);
    this.#world.after(0, this, () => {
      if (this.#move !== move) return;
      this.#node.ended({ epoch, step, hash, suspect });
      this.#noted();
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
