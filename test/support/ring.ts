/**
 * A ring without sockets: every rank has its part of one memory, and frames go from each to the next as the wire would
 * carry them, header and all.
 */
import {
  type ChunkHeader,
  checkChecksum,
  checkLength,
  decodeChunkHeader,
  encodeChunkHeader,
} from "../../cluster/protocol/chunk-header.ts";
import { Reducer } from "../../cluster/ring/reducer.ts";
import {
  chunksOf,
  type ElementRange,
  type Hop,
  portionsOf,
  schedule,
  segmentsOf,
} from "../../cluster/ring/segments.ts";
import { allocateMemory } from "../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../cluster/ring/wire-type.ts";
import { checksum } from "../reference/checksum.ts";
import { type Randoms, randoms } from "./gpu.ts";

/** An all-reduce, and how it is cut. */
export interface RingCase {
  /** Of each rank, all of the same length. */
  readonly contributions: readonly Float32Array[];
  readonly wire: WireType;
  /** Default: one. */
  readonly buckets?: readonly ElementRange[];
  /** Default 1 MiB. */
  readonly chunkBytes?: number;
  /** Of each rank; default zeros. */
  readonly residuals?: readonly Float32Array[];
  /** In which of the possible orders frames travel. Default 0. */
  readonly seed?: number;
}

/** What each rank has in the end. */
export interface RingOutcome {
  readonly results: readonly Float32Array[];
  readonly residuals: readonly Float32Array[];
  /** Bytes of payload that each rank sent. */
  readonly sent: readonly number[];
}

interface Frame {
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

const RUN_ID = "00112233445566778899aabbccddeeff";

// what earlier rings left in it is still there: nothing may depend on memory being 0
const reducers = Object.fromEntries(
  WIRE_TYPES.map((wire) => [wire, new Reducer(allocateMemory(32 * 2 ** 20, true), wire)]),
) as Record<WireType, Reducer>;

/** Hops of one bucket follow each other; those of different buckets, and the chunks of a hop, go in any order. */
export function simulateRing(ring: RingCase): RingOutcome {
  const { contributions, wire, chunkBytes = 2 ** 20, seed = 0 } = ring;
  const world = contributions.length;
  const total = contributions[0]?.length ?? 0;
  const { buckets = [{ from: 0, to: total }] } = ring;
  const random = randoms(seed);
  const segments = segmentsOf(total, world);
  const ranks = contributions.map(
    (own, rank) => new Rank(rank, world, wire, own, ring.residuals?.[rank]),
  );
  const next = buckets.map(() => 0);
  const hops = 2 * (world - 1);
  for (let left = buckets.length * hops; left > 0; left--) {
    const open = [...next.keys()].filter((b) => (next[b] as number) < hops);
    const bucket = pick(open, random);
    const step = next[bucket] as number;
    next[bucket] = step + 1;
    const portions = portionsOf(buckets[bucket] as ElementRange, segments);
    const frames = ranks.map((rank) =>
      shuffled(
        chunksOf(portions[rank.hops[step]?.sends as number] as ElementRange, wire, chunkBytes),
        random,
      ).map((chunk) => rank.send(bucket, step, chunk)),
    );
    for (const rank of ranks) {
      const incoming = frames[(rank.rank + world - 1) % world] as Frame[];
      for (const frame of incoming) rank.receive(step, frame, chunkBytes);
    }
  }
  return {
    results: ranks.map((rank) => rank.values.slice()),
    residuals: ranks.map((rank) => rank.nextResidual.slice()),
    sent: ranks.map((rank) => rank.sent),
  };
}

class Rank {
  readonly rank: number;
  readonly hops: readonly Hop[];
  readonly values: Float32Array;
  readonly nextResidual: Float32Array;
  sent = 0;
  readonly #reducer: Reducer;
  /** Addresses of the values, of the old residual, of the next one, and of packed bytes. */
  readonly #places: readonly [number, number, number, number];

  constructor(
    rank: number,
    world: number,
    wire: WireType,
    contribution: Float32Array,
    residual: Float32Array = new Float32Array(contribution.length),
  ) {
    this.rank = rank;
    this.hops = schedule(rank, world);
    this.#reducer = reducers[wire];
    const { buffer } = this.#reducer.memory;
    const size = 4 * contribution.length;
    const values = rank * (3 * size + 4 * Math.ceil(bytesOf(contribution.length, wire) / 4));
    const old = values + size;
    const next = old + size;
    this.#places = [values, old, next, next + size];
    this.values = new Float32Array(buffer, values, contribution.length);
    this.nextResidual = new Float32Array(buffer, next, contribution.length);
    this.values.set(contribution);
    this.nextResidual.set(residual);
    new Float32Array(buffer, old, contribution.length).set(residual);
  }

  send(bucket: number, step: number, { from, to }: ElementRange): Frame {
    const { phase, hop, sends } = this.hops[step] as Hop;
    const { wire } = this.#reducer;
    const [values, residual, nextResidual, packed] = this.#at(from);
    if (phase === "reduce" || hop === 0) {
      const feedback = { residual, nextResidual };
      this.#reducer.pack(values, packed, to - from, feedback);
      if (phase === "gather") this.#reducer.unpack(values, packed, to - from);
    }
    const payload = this.#bytes(packed, bytesOf(to - from, wire)).slice();
    this.sent += payload.length;
    const header: ChunkHeader = {
      phase,
      wire,
      runId: RUN_ID,
      epoch: 3,
      op: 7,
      attempt: 0,
      bucket,
      hop,
      segment: sends,
      offset: from / BLOCK,
      elements: to - from,
      checksum: checksum(payload),
    };
    return { header: encodeChunkHeader(header), payload };
  }

  receive(step: number, frame: Frame, chunkBytes: number): void {
    const header = decodeChunkHeader(frame.header, { chunkBytes });
    checkLength(header, frame.payload);
    checkChecksum(header, checksum(frame.payload));
    const { phase, hop, receives } = this.hops[step] as Hop;
    if (header.phase !== phase || header.hop !== hop || header.segment !== receives) {
      throw new Error(`rank ${this.rank} got segment ${header.segment} at ${phase} hop ${hop}`);
    }
    const [values, , , packed] = this.#at(header.offset * BLOCK);
    this.#bytes(packed, frame.payload.length).set(frame.payload);
    if (phase === "reduce") this.#reducer.add(values, packed, header.elements);
    else this.#reducer.unpack(values, packed, header.elements);
  }

  #at(from: number): [number, number, number, number] {
    const [values, residual, nextResidual, packed] = this.#places;
    return [
      values + 4 * from,
      residual + 4 * from,
      nextResidual + 4 * from,
      packed + bytesOf(from, this.#reducer.wire),
    ];
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#reducer.memory.buffer, at, length);
  }
}

function pick<T>(items: readonly T[], random: Randoms): T {
  return items[Math.floor(random.next() * items.length)] as T;
}

/** The items in any order. */
export function shuffled<T>(items: readonly T[], random: Randoms): T[] {
  const left = [...items];
  return items.map(() => left.splice(Math.floor(random.next() * left.length), 1)[0] as T);
}
