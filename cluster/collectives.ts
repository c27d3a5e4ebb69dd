/** Sums over the members of an epoch, one after the other. */
import { RingPlan } from "./ring/plan.ts";
import { type ElementRange, segmentsOf } from "./ring/segments.ts";
import { BLOCK, bytesOf } from "./ring/wire-type.ts";
import { type Phases, Workspace } from "./ring/workspace.ts";
import type { RingPlane } from "./ring-plane/ring-plane.ts";
import { RingVector } from "./ring-vector.ts";

/** Elements of a bucket at most, and at least where there are several: 8 MiB and half a MiB of f32. */
const BUCKET = { most: 2 ** 21, least: 2 ** 17 };

/** Buckets that there are, if they need not be smaller or larger for it: for the first to be on its way while others are computed. */
const BUCKETS = 16;

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
  readonly plane: RingPlane;
  readonly chunkBytes: number;
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
 * Errors    those of `RingPlane.run`.
 */
export class Collectives {
  readonly rank: number;
  readonly world: number;
  readonly #parts: CollectivesParts;
  readonly #traffic: Traffic;
  #count = 0;

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
    const vector = new RingVector(values.length, "f32");
    vector.contribution.set(values);
    await this.#run(vector, "both", signal);
    return vector.result;
  }

  /** Leaves the sum of the contributions in {@link ownedRange} of the result. */
  reduce(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#run(vector, "reduce", signal);
  }

  /** Leaves the sum of the contributions in the whole of the result. */
  allReduce(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#run(vector, "both", signal);
  }

  /** Puts together in the result what each has in its {@link ownedRange}. */
  gather(vector: RingVector, signal?: AbortSignal): Promise<void> {
    return this.#run(vector, "gather", signal);
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
    const { rank, world, chunkBytes, plane } = this.#parts;
    const { length: total, wire, memory } = vector;
    const buckets = bucketsOf(total);
    const plan = new RingPlan({ rank, world, total, wire, chunkBytes, buckets });
    const space = new Workspace(plan, phases, memory, vector.placesOf(phases));
    const started = performance.now();
    const run = plane.start(space, { op: this.#count++, attempt: 0 }, signal);
    const done = run.done.then(() => {
      this.#traffic.ms += performance.now() - started;
      this.#traffic.bytes += sentBytes(plan, phases);
    });
    // whoever does not wait for it is told when the epoch ends
    done.catch(() => {});
    return { buckets, done, ready: (bucket) => run.bucketReady(bucket) };
  }

  async #run(vector: RingVector, phases: Phases, signal: AbortSignal | undefined): Promise<void> {
    const run = this.start(vector, phases, signal);
    for (const bucket of run.buckets.keys()) run.ready(bucket);
    await run.done;
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
