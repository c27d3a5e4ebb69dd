/** Sums over the members of an epoch, one after the other. */
import { RingPlan } from "./ring/plan.ts";
import { type ElementRange, segmentsOf } from "./ring/segments.ts";
import { BLOCK, bytesOf } from "./ring/wire-type.ts";
import type { Phases } from "./ring/workspace.ts";
import { misused } from "./ring-plane/failure.ts";
import type { Rings, RingsRun } from "./ring-plane/rings.ts";
import { RingVector } from "./ring-vector.ts";

/** Elements of a bucket at most, and at least where there are several: 8 MiB and half a MiB of f32. */
const BUCKET = { most: 2 ** 21, least: 2 ** 17 };

/** Buckets that there are, if they need not be smaller or larger for it: for the first to be on its way while others are computed. */
const BUCKETS = 16;

/** Values that are summed in one vector again and again: a memory of their own for each sum would outlive it by far. */
const FEW = 2 ** 13;
const FEW_OF = new WeakMap<Rings, RingVector>();

/** The place of a node in its ring. */
export interface RingMembership {
  readonly rank: number;
  readonly world: number;
}

/** What has moved. */
export interface Traffic {
  /** Sent by this node. */
  bytes: number;
  /** Spent in collectives. */
  ms: number;
}

/** What collectives of an epoch are made with. */
export interface CollectivesParts extends RingMembership {
  readonly rings: Rings;
  readonly chunkBytes: number;
}

/** The first elements of a vector, and what is done with them. */
interface Part {
  readonly vector: RingVector;
  readonly length: number;
  readonly phases: Phases;
}

/** A collective under way, whose buckets are given as they come. */
export interface CollectiveRun {
  /** How the vector is cut: {@link bucketsOf} its length. */
  readonly buckets: readonly ElementRange[];
  /**
   * What this rank gives of a bucket is in the vector (its contribution, or with `gather` alone the part of the result that it
   * owns) and stays as it is until the end. Each bucket once, in any order: those who have the same order wait the least for each
   * other. What is wrong with it rejects {@link done}.
   */
  ready(bucket: number): void;
  /**
   * Resolves when the result is there and the vector is the caller's again. When it rejects, the epoch has to be ended before it
   * is.
   */
  readonly done: Promise<void>;
}

/**
 * See the file's head. All members call the same methods in the same order, with vectors of the same lengths. One that fails
 * leaves the epoch to be ended.
 *
 * Errors    those of `Rings.start`
 */
export class Collectives {
  readonly rank: number;
  readonly world: number;
  readonly #parts: CollectivesParts;
  readonly #traffic: Traffic;
  #count = 0;
  #run: RingsRun | undefined;

  /** @param traffic where it is counted what moves */
  constructor(parts: CollectivesParts, traffic: Traffic = { bytes: 0, ms: 0 }) {
    this.#parts = parts;
    this.#traffic = traffic;
    this.rank = parts.rank;
    this.world = parts.world;
  }

  /** The elements of a vector whose sum is left here, and which are gathered from here. */
  ownedRange(length: number): ElementRange {
    return ownedRange(length, this);
  }

  /** The sum of a few values, rounded to f32. */
  async sum(values: ArrayLike<number>, signal?: AbortSignal): Promise<Float32Array> {
    const { length } = values;
    const few = this.#fewFor(length);
    few.contribution.set(values);
    await this.#all(this.#begin({ vector: few, length, phases: "both" }, signal));
    return few.result.slice(0, length);
  }

  /** Leaves the sum of the contributions in {@link ownedRange} of the result. */
  reduce(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#all(this.start(vector, "reduce", signal));
  }

  /** Leaves the sum of the contributions in the whole of the result. */
  allReduce(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#all(this.start(vector, "both", signal));
  }

  /** Puts together in the result what each has in its {@link ownedRange}. */
  gather(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#all(this.start(vector, "gather", signal));
  }

  /**
   * Begins a collective, of which nothing is given yet; the others wait for this node as long as it lives. The signal aborts the
   * epoch.
   *
   * @param phases `both` for {@link allReduce}, and `reduce` and `gather` for those
   *
   * Errors    `argument_invalid` while another one is under way; all others reject {@link CollectiveRun.done}
   */
  start(vector: RingVector, phases: Phases, signal?: AbortSignal): CollectiveRun {
    return this.#begin({ vector, length: vector.length, phases }, signal);
  }

  #begin({ vector, length: total, phases }: Part, signal: AbortSignal | undefined): CollectiveRun {
    if (this.#run) throw misused("a collective is under way", "wait for its end");
    const { rank, world, chunkBytes, rings } = this.#parts;
    const { wire, memory } = vector;
    const buckets = bucketsOf(total);
    const shape = { rank, world, total, wire, chunkBytes, buckets };
    const started = performance.now();
    const run = rings.start(
      { shape, phases, memory, places: vector.placesOf(phases) },
      { op: this.#count++, attempt: 0 },
      signal,
    );
    this.#run = run;
    const done = run.done.then(() => {
      this.#run = undefined;
      this.#traffic.ms += performance.now() - started;
      this.#traffic.bytes += sentBytes(new RingPlan(shape), phases);
    });
    // whoever does not wait for it is told when the epoch ends
    done.catch(() => {});
    return { buckets, done, ready: (bucket) => run.bucketReady(bucket) };
  }

  /** Moves a collective, all of which is ready, to its end. */
  async #all({ buckets, ready, done }: CollectiveRun): Promise<void> {
    for (const bucket of buckets.keys()) ready(bucket);
    await done;
  }

  /** A vector that has room for so many values. */
  #fewFor(length: number): RingVector {
    if (length > FEW) return new RingVector(length, "f32");
    const { rings } = this.#parts;
    const few = FEW_OF.get(rings) ?? new RingVector(FEW, "f32");
    FEW_OF.set(rings, few);
    return few;
  }
}

/**
 * How a vector of so many elements is cut, in order: one bucket or more, of whole blocks but for the end of the last. It changes no
 * bit of a sum, and is the same at all ranks.
 */
export function bucketsOf(length: number): ElementRange[] {
  const fair = BLOCK * Math.ceil(length / BUCKETS / BLOCK);
  const size = Math.min(Math.max(fair, BUCKET.least), BUCKET.most);
  return Array.from({ length: Math.max(1, Math.ceil(length / size)) }, (_, i) => ({
    ...{ from: i * size, to: Math.min(length, (i + 1) * size) },
  }));
}

/** The elements that a rank owns of a vector: those of the segment whose sum the ring leaves with it. */
export function ownedRange(length: number, { rank, world }: RingMembership): ElementRange {
  return segmentsOf(length, world)[(rank + 1) % world] as ElementRange;
}

/** Payload bytes that a rank sends. */
function sentBytes(plan: RingPlan, phases: Phases): number {
  const all = phases === "both" ? (["reduce", "gather"] as const) : [phases];
  let bytes = 0;
  for (const { segment, from, to } of plan.chunks)
    for (const phase of all)
      if (plan.sendsAt(phase, segment) !== undefined) bytes += bytesOf(to - from, plan.shape.wire);
  return bytes;
}
