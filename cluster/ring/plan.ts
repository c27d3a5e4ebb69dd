/** How the vector of a collective is cut, and what of it passes through one rank. */
import { ClusterError } from "../error.ts";
import type { ChunkHeader } from "../protocol/chunk-header.ts";
import {
  chunksOf,
  type ElementRange,
  ownedSegment,
  type Phase,
  portionsOf,
  schedule,
  segmentsOf,
} from "./segments.ts";
import { violation } from "./violation.ts";
import { BLOCK, type WireType } from "./wire-type.ts";

/** A ring and its vector. All but `rank` must be the same at all ranks. */
export interface RingShape {
  readonly rank: number;
  readonly world: number;
  /** Elements of the vector. */
  readonly total: number;
  /** Whole blocks, each element in one of them; their order gives them their numbers. */
  readonly buckets: readonly ElementRange[];
  readonly wire: WireType;
  /** Bytes of a payload at most. */
  readonly chunkBytes: number;
  /**
   * Which of how many rings that go round at once, each with every so-manieth bucket, this is. Segments are those of the whole
   * vector, so their number changes no bit. Default: the only one.
   */
  readonly lane?: Lane;
}

/** One of parallel rings. */
export interface Lane {
  readonly index: number;
  readonly of: number;
}

const ONLY: Lane = { index: 0, of: 1 };

/** A piece of the vector that is sent as one. */
export interface Chunk extends ElementRange {
  /** Among the chunks of the vector. */
  readonly index: number;
  readonly bucket: number;
  readonly segment: number;
}

/** The chunks of a vector, and at which hop of each phase this rank sends and receives those of a segment. */
export class RingPlan {
  readonly shape: RingShape;
  /** The segment whose sum ends up here. */
  readonly owned: number;
  /** Bucket by bucket, of each segment by segment. */
  readonly chunks: readonly Chunk[];
  /** Index of the first chunk of each bucket's portion of each segment, and their number last. */
  readonly #first: readonly number[];
  readonly #sends: Readonly<Record<Phase, ReadonlyMap<number, number>>>;
  readonly #receives: Readonly<Record<Phase, ReadonlyMap<number, number>>>;

  /** Errors    `argument_invalid`. */
  constructor(shape: RingShape) {
    const { rank, world, total, buckets, wire, chunkBytes, lane = ONLY } = shape;
    checkLane(lane);
    const segments = segmentsOf(total, world);
    const chunks: Chunk[] = [];
    const first: number[] = [];
    for (const [bucket, range] of buckets.entries())
      for (const [segment, portion] of portionsOf(range, segments).entries()) {
        first.push(chunks.length);
        if (bucket % lane.of !== lane.index) continue;
        for (const { from, to } of chunksOf(portion, wire, chunkBytes))
          chunks.push({ index: chunks.length, bucket, segment, from, to });
      }
    checkCover(buckets, total);
    const hops = schedule(rank, world);
    const hopsBy = (phase: Phase, direction: "sends" | "receives"): Map<number, number> =>
      new Map(hops.filter((hop) => hop.phase === phase).map((hop) => [hop[direction], hop.hop]));
    this.shape = shape;
    this.owned = ownedSegment(rank, world);
    this.chunks = chunks;
    this.#first = [...first, chunks.length];
    this.#sends = { reduce: hopsBy("reduce", "sends"), gather: hopsBy("gather", "sends") };
    this.#receives = { reduce: hopsBy("reduce", "receives"), gather: hopsBy("gather", "receives") };
  }

  /** The hop at which this rank sends a segment; undefined where it does not. */
  sendsAt(phase: Phase, segment: number): number | undefined {
    return this.#sends[phase].get(segment);
  }

  /** The hop at which this rank receives a segment; undefined where it does not. */
  receivesAt(phase: Phase, segment: number): number | undefined {
    return this.#receives[phase].get(segment);
  }

  /** None of a bucket that goes round another lane. */
  chunksOfBucket(bucket: number): readonly Chunk[] {
    const { world } = this.shape;
    return this.chunks.slice(this.#first[bucket * world], this.#first[(bucket + 1) * world]);
  }

  /**
   * The chunk that a header speaks of.
   *
   * Errors    `protocol_violated` unless it is one of this plan, which the predecessor sends at that hop.
   */
  chunkOf(header: ChunkHeader): Chunk {
    const { phase, segment } = header;
    if (header.wire !== this.shape.wire) throw violation("it has another wire type", header);
    if (this.receivesAt(phase, segment) !== header.hop) {
      throw violation("its segment does not come at that hop", header);
    }
    const chunk = this.#find(header);
    if (!chunk) throw violation("none of its bucket and segment begins there", header);
    if (header.elements !== chunk.to - chunk.from) throw violation("it has another length", header);
    return chunk;
  }

  #find({ bucket, segment, offset }: ChunkHeader): Chunk | undefined {
    const portion = bucket * this.shape.world + segment;
    const begin = this.#first[portion];
    const end = this.#first[portion + 1];
    if (begin === undefined || end === undefined || begin === end) return undefined;
    const first = this.chunks[begin] as Chunk;
    // all but the last are as long as the first
    const nth = (offset * BLOCK - first.from) / (first.to - first.from);
    const isOne = Number.isInteger(nth) && nth >= 0 && begin + nth < end;
    return isOne ? this.chunks[begin + nth] : undefined;
  }
}

function checkLane({ index, of }: Lane): void {
  if (Number.isInteger(index) && Number.isInteger(of) && index >= 0 && index < of) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "ring: there is no such lane.",
    got: `lane ${index} of ${of}`,
    fix: "count lanes from 0",
  });
}

function checkCover(buckets: readonly ElementRange[], total: number): void {
  let at = 0;
  for (const { from, to } of buckets.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== at) break;
    at = to;
  }
  const covered = buckets.reduce((sum, { from, to }) => sum + to - from, 0);
  if (at === total && covered === total) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: "ring: the buckets do not hold each element once.",
    got: `${buckets.length} buckets of ${covered} elements in all, for ${total}`,
    fix: "cut the whole vector, without gaps and overlaps",
  });
}
