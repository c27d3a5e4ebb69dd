/**
 * Rings of collectives without sockets: what a rank sends is on its way until the scheduler, who has a seed, delivers it, in
 * any order. Payloads on their way are views, as they are in a socket: were they written too soon, their checksums would say
 * so.
 */
import { expect } from "vitest";
import {
  type ChunkHeader,
  decodeChunkHeader,
  encodeChunkHeader,
} from "../../cluster/protocol/chunk-header.ts";
import type { RingPlace } from "../../cluster/ring/arrival.ts";
import { Collective, type OutgoingChunk, type Reception } from "../../cluster/ring/collective.ts";
import { RingPlan, type RingShape } from "../../cluster/ring/plan.ts";
import { packScalar } from "../../cluster/ring/scalar.ts";
import type { ElementRange } from "../../cluster/ring/segments.ts";
import { allocateMemory, type WasmMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, type WireType } from "../../cluster/ring/wire-type.ts";
import { type Phases, type Places, Workspace } from "../../cluster/ring/workspace.ts";
import { ringSum } from "../reference/ring-sum.ts";
import { type Random, seeded } from "./cluster/random.ts";

export const PLACE: RingPlace = {
  runId: "00112233445566778899aabbccddeeff",
  epoch: 3,
  op: 7,
  attempt: 1,
};

const MOST_ELEMENTS = 12_288;
const memories: WasmMemory[] = [];

/** A memory for each peer, used by one test after the other. */
function memoryOf(peer: number): WasmMemory {
  memories[peer] ??= allocateMemory(5 * 4 * MOST_ELEMENTS + 64, true);
  return memories[peer];
}

/** How a vector is cut. */
export type Cut = Pick<RingShape, "buckets" | "chunkBytes" | "lane">;

/** A node with its vectors, which outlive attempts. What it has not yet written is rubbish. */
export class Peer {
  readonly memory: WasmMemory;
  readonly wire: WireType;
  readonly places: Places;
  readonly contribution: Float32Array;
  readonly residual: Float32Array;
  readonly result: Float32Array;
  readonly nextResidual: Float32Array;
  /** Where it is packed already: what is given. */
  readonly packedContribution: Uint8Array;

  constructor(
    index: number,
    wire: WireType,
    contribution: Float32Array,
    residual?: Float32Array,
    isPacked = false,
  ) {
    const total = contribution.length;
    this.memory = memoryOf(index);
    this.wire = wire;
    new Uint8Array(this.memory.buffer).fill(0xa5 + index);
    const floats = (nth: number): Float32Array =>
      new Float32Array(this.memory.buffer, 4 * nth * total + 16, total);
    this.contribution = floats(0);
    this.residual = floats(1);
    this.result = floats(2);
    this.nextResidual = floats(3);
    this.contribution.set(contribution);
    this.residual.set(residual ?? new Float32Array(total));
    this.places = {
      contribution: this.contribution.byteOffset,
      residual: this.residual.byteOffset,
      result: this.result.byteOffset,
      nextResidual: this.nextResidual.byteOffset,
      packed: 4 * 4 * total + 16 + 3,
    };
    const packedAt = 4 * 4 * total + 16 + 3 + bytesOf(total, wire) + 1;
    const packedBytes = isPacked ? bytesOf(total, wire) : 0;
    this.packedContribution = new Uint8Array(this.memory.buffer, packedAt, packedBytes);
    if (!isPacked) return;
    const { contribution: _, ...places } = this.places;
    this.places = { ...places, packedContribution: packedAt };
    const none = { residual: new Float32Array(total), nextResidual: new Float32Array(total) };
    packScalar(wire, contribution, new DataView(this.memory.buffer, packedAt, packedBytes), none);
    this.contribution.fill(Number.NaN);
  }

  workspace(rank: number, world: number, cut: Cut, phases: Phases): Workspace {
    const plan = new RingPlan({
      ...{ rank, world, wire: this.wire, total: this.contribution.length },
      ...cut,
    });
    return new Workspace(plan, phases, this.memory, this.places);
  }
}

/** As many blocks as there may be of one chunk, and more. */
export function cutOf(total: number, wire: WireType, seed: number): Cut {
  const random = seeded(seed);
  const buckets: ElementRange[] = [];
  for (let from = 0; from < total || buckets.length === 0; ) {
    const to = Math.min(total, from + BLOCK * (1 + random.below(12)));
    buckets.push({ from, to });
    from = to;
  }
  if (random.chance(0.2)) buckets.push({ from: total, to: total });
  const order = buckets.map((bucket) => ({ bucket, key: random.next() }));
  const shuffled = order.sort((a, b) => a.key - b.key).map(({ bucket }) => bucket);
  const blocks = 1 + random.below(6);
  return { buckets: shuffled, chunkBytes: blocks * bytesOf(BLOCK, wire) + random.below(100) };
}

/** A chunk as it came out of the network. */
export interface Frame {
  readonly to: number;
  readonly header: ChunkHeader;
  readonly payload: Uint8Array;
}

/** What the network does to what it carries. */
export interface Faults {
  /** Share of the chunks that come twice. */
  readonly duplicates?: number;
  /** To be delivered at any time. */
  readonly strays?: readonly Frame[];
  /** Called with each chunk instead of its delivery. */
  readonly deliver?: (frame: Frame, rank: Collective) => void;
}

/** Collectives of all ranks, and what is on its way between them. */
export class RingRun {
  readonly ranks: readonly Collective[];
  /** Everything that was delivered, copied. */
  readonly delivered: Frame[] = [];
  readonly receptions: Reception[] = [];
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #buckets: number[][];
  /** To each rank. */
  readonly #onTheWay: OutgoingChunk[][];
  readonly #unsent: { readonly from: number; readonly chunk: OutgoingChunk }[] = [];
  readonly #strays: Frame[];
  /** Ranks that are nine times slower than others. */
  readonly #slow: boolean[];
  readonly #idle: boolean[];

  constructor(ranks: readonly Collective[], buckets: number, seed: number, faults: Faults = {}) {
    this.ranks = ranks;
    this.#random = seeded(seed);
    this.#faults = faults;
    this.#buckets = ranks.map(() => Array.from({ length: buckets }, (_, bucket) => bucket));
    this.#onTheWay = ranks.map(() => []);
    this.#strays = [...(faults.strays ?? [])];
    this.#slow = ranks.map(() => this.#random.chance(0.3));
    this.#idle = ranks.map(() => false);
  }

  get isDone(): boolean {
    return this.ranks.every((rank) => rank.isDone);
  }

  /** What is on its way, as it would arrive now. */
  get inFlight(): Frame[] {
    return this.#onTheWay.flatMap((chunks, to) => chunks.map((chunk) => ({ to, ...chunk })));
  }

  /** Goes on until nothing more can happen, or so many chunks were delivered. */
  run(deliveries = Number.POSITIVE_INFINITY): this {
    while (this.delivered.length < deliveries) {
      const acts = this.ranks.flatMap((_, rank) =>
        this.#actsOf(rank).map((act) => ({ rank, act })),
      );
      if (this.#strays.length > 0) acts.push({ rank: -1, act: () => this.#stray() });
      if (this.#unsent.length > 0) acts.push({ rank: -1, act: () => this.#settle() });
      if (acts.length === 0) break;
      const { rank, act } = this.#random.pick(acts);
      if (!this.#slow[rank] || this.#random.chance(0.1)) act();
    }
    return this;
  }

  #actsOf(rank: number): (() => void)[] {
    const acts: (() => void)[] = [];
    if (!this.#idle[rank]) acts.push(() => this.#send(rank));
    if ((this.#onTheWay[rank] as OutgoingChunk[]).length > 0) acts.push(() => this.#deliver(rank));
    if ((this.#buckets[rank] as number[]).length > 0) acts.push(() => this.#ready(rank));
    return acts;
  }

  #ready(rank: number): void {
    this.ranks[rank]?.bucketReady(this.#draw(this.#buckets[rank] as number[]));
    this.#idle[rank] = false;
  }

  #send(rank: number): void {
    const chunk = this.ranks[rank]?.nextChunk();
    this.#idle[rank] = !chunk;
    if (!chunk) return;
    this.#onTheWay[(rank + 1) % this.ranks.length]?.push(chunk);
    this.#unsent.push({ from: rank, chunk });
  }

  #settle(): void {
    const { from, chunk } = this.#draw(this.#unsent);
    this.ranks[from]?.sent(chunk);
  }

  #deliver(to: number): void {
    const { header, payload } = this.#draw(this.#onTheWay[to] as OutgoingChunk[]);
    const frame = { to, header, payload: payload.slice() };
    this.delivered.push(frame);
    if (this.#random.chance(this.#faults.duplicates ?? 0)) this.#strays.push(frame);
    this.#hand(frame);
  }

  #stray(): void {
    this.#hand(this.#draw(this.#strays));
  }

  #hand(frame: Frame): void {
    const rank = this.ranks[frame.to] as Collective;
    if (this.#faults.deliver) this.#faults.deliver(frame, rank);
    else this.receptions.push(handTo(rank, frame));
    this.#idle[frame.to] = false;
  }

  #draw<T>(items: T[]): T {
    return items.splice(this.#random.below(items.length), 1)[0] as T;
  }
}

/** Delivers a chunk as the wire carries it. */
export function handTo(rank: Collective, { header, payload }: Omit<Frame, "to">): Reception {
  const read = decodeChunkHeader(encodeChunkHeader(header), { chunkBytes: 2 ** 20 });
  // half of them are read to where they belong
  const place = read.checksum % 2 === 0 ? rank.placeOf(read) : undefined;
  if (place?.length !== payload.length) return rank.receive(read, payload);
  place.set(payload);
  return rank.receive(read, place);
}

/** Collectives of peers, each of whose place among them is its rank. */
export function collectivesOf(
  peers: readonly Peer[],
  cut: Cut,
  place: RingPlace = PLACE,
  phases: Phases = "both",
): Collective[] {
  return peers.map(
    (peer, rank) => new Collective(peer.workspace(rank, peers.length, cut, phases), place),
  );
}

/** Of each rank: numbers of one size, other ones in each block. */
export function contributionsOf(world: number, total: number, seed: number): Float32Array[] {
  return Array.from({ length: world }, (_, rank) => {
    const random = seeded(1000 * seed + rank);
    return Float32Array.from(
      { length: total },
      (_, i) => (2 * random.next() - 1) * 2 ** (Math.floor(i / BLOCK) % 9),
    );
  });
}

export function residualsOf(world: number, total: number, seed: number): Float32Array[] {
  return contributionsOf(world, total, seed + 500_000).map((values) => values.map((x) => x / 200));
}

export function isSame(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(Buffer.from(a.slice().buffer), Buffer.from(b.slice().buffer)) === 0;
}

/** Peers with contributions and residuals of a seed. */
export function peersOf(world: number, total: number, wire: WireType, seed: number): Peer[] {
  const residuals = residualsOf(world, total, seed);
  return contributionsOf(world, total, seed).map(
    (own, index) => new Peer(index, wire, own, residuals[index]),
  );
}

export /** What peers have in the end is what the oracle says of what they gave, which is untouched. */
function expectOracle(peers: readonly Peer[], wire: WireType, seed: number, world: number): void {
  const total = peers[0]?.contribution.length ?? 0;
  const given = contributionsOf(world, total, seed);
  const owed = residualsOf(world, total, seed);
  const { sum, residuals } = ringSum(given, wire, owed);
  for (const [rank, peer] of peers.entries()) {
    expect(isSame(peer.result, sum)).toBe(true);
    expect(isSame(peer.contribution, given[rank] as Float32Array)).toBe(true);
    expect(isSame(peer.residual, owed[rank] as Float32Array)).toBe(true);
    if (wire === "int8") {
      expect(isSame(peer.nextResidual, residuals[rank] as Float32Array)).toBe(true);
    }
  }
}
