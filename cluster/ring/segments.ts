/**
 * Which elements travel when. A vector of f32 is cut three times, always between blocks: into the segments of the ring,
 * by world size; into buckets, by the caller; and into the chunks that are sent.
 *
 * Only the first cut decides in which order an element is summed, and it knows nothing but the length of the vector and
 * the number of ranks. Element e of segment s is summed over ranks s, s + 1, … mod N, so the result has the same bits
 * whatever buckets, chunks, sockets and threads there are.
 */
import { ClusterError } from "../error.ts";
import { BLOCK, bytesOf, type WireType } from "./wire-type.ts";

/** Ranks there can be: hops and segments are u16 on the wire. */
const MOST_RANKS = 2 ** 16;
/** Elements there can be: offsets are u32 on the wire, in blocks. */
const MOST_ELEMENTS = 2 ** 32 * BLOCK;

/** Elements from `from` to before `to`. */
export interface ElementRange {
  readonly from: number;
  readonly to: number;
}

/** The two halves of an all-reduce: sums are gathered by their owners, then handed round. */
export type Phase = "reduce" | "gather";

/** What a rank does at one hop of the ring. */
export interface Hop {
  readonly phase: Phase;
  /** 0 … N − 2, from anew in each phase. */
  readonly hop: number;
  /** Segment that goes to the successor. */
  readonly sends: number;
  /** Segment that comes from the predecessor, to be added to (reduce) or to take the place of (gather) one's own. */
  readonly receives: number;
}

/**
 * The segments of a vector, one per rank: its blocks dealt out in order, the first (blocks mod N) segments one more than
 * the others. The vector's last block may be short; segments are empty when there are fewer blocks than ranks.
 *
 * Errors    `argument_invalid`.
 */
export function segmentsOf(total: number, world: number): ElementRange[] {
  check("total", total, 0, MOST_ELEMENTS);
  check("world", world, 1, MOST_RANKS);
  const blocks = Math.ceil(total / BLOCK);
  const share = Math.floor(blocks / world);
  const extra = blocks % world;
  const start = (segment: number): number =>
    Math.min(total, (segment * share + Math.min(segment, extra)) * BLOCK);
  return Array.from({ length: world }, (_, s) => ({ from: start(s), to: start(s + 1) }));
}

/**
 * A bucket's portion of each segment, in the order of the segments; empty where they do not meet.
 *
 * Errors    `argument_invalid` for a bucket that does not lie within the vector, or cuts a block.
 */
export function portionsOf(
  bucket: ElementRange,
  segments: readonly ElementRange[],
): ElementRange[] {
  const total = segments.at(-1)?.to ?? 0;
  check("bucket.to", bucket.to, 0, total);
  check("bucket.from", bucket.from, 0, bucket.to);
  if (isCut(bucket.from, total) || isCut(bucket.to, total)) {
    throw new ClusterError({
      code: "argument_invalid",
      what: "portionsOf: a bucket begins or ends within a block.",
      got: `elements ${bucket.from} to ${bucket.to} of ${total}`,
      why: `blocks of ${BLOCK} elements share a scale, and are sent whole`,
      fix: `begin and end buckets at multiples of ${BLOCK} or at the end of the vector`,
    });
  }
  return segments.map((segment) => {
    const from = Math.min(Math.max(bucket.from, segment.from), segment.to);
    return { from, to: Math.max(from, Math.min(bucket.to, segment.to)) };
  });
}

/**
 * The pieces of a portion that are sent, in order: whole blocks, as many as `chunkBytes` of payload hold; none of an
 * empty portion.
 *
 * Errors    `argument_invalid` when a chunk cannot hold one block.
 */
export function chunksOf(
  portion: ElementRange,
  wire: WireType,
  chunkBytes: number,
): ElementRange[] {
  check("chunkBytes", chunkBytes, bytesOf(BLOCK, wire), Number.MAX_SAFE_INTEGER);
  const elements = Math.floor(chunkBytes / bytesOf(BLOCK, wire)) * BLOCK;
  const count = Math.ceil((portion.to - portion.from) / elements);
  return Array.from({ length: count }, (_, c) => {
    const from = portion.from + c * elements;
    return { from, to: Math.min(from + elements, portion.to) };
  });
}

/**
 * The hops of a rank, 2(N − 1) of them: what it sends at one is what it received, and finished, at the one before.
 *
 * Errors    `argument_invalid`.
 */
export function schedule(rank: number, world: number): Hop[] {
  checkRank(rank, world);
  const segment = (index: number): number => (index + world) % world;
  const hops = (phase: Phase, first: number): Hop[] =>
    Array.from({ length: world - 1 }, (_, hop) => ({
      phase,
      hop,
      sends: segment(first - hop),
      receives: segment(first - hop - 1),
    }));
  return [...hops("reduce", rank), ...hops("gather", rank + 1)];
}

/** The segment whose sum a rank has after the last hop of the reduce phase, and whose parameters it updates. */
export function ownedSegment(rank: number, world: number): number {
  checkRank(rank, world);
  return (rank + 1) % world;
}

function isCut(element: number, total: number): boolean {
  return element % BLOCK !== 0 && element !== total;
}

function checkRank(rank: number, world: number): void {
  check("world", world, 1, MOST_RANKS);
  check("rank", rank, 0, world - 1);
}

function check(field: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new ClusterError({
    code: "argument_invalid",
    what: `ring: ${field} is out of range.`,
    got: String(value),
    fix: `give an integer from ${least} to ${most}`,
  });
}
