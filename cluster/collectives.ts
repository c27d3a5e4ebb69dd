/** Sums over the members of an epoch, one after the other. */
import { RingPlan } from "./ring/plan.ts";
import { type ElementRange, segmentsOf } from "./ring/segments.ts";
import { BLOCK, bytesOf } from "./ring/wire-type.ts";
import { type Phases, Workspace } from "./ring/workspace.ts";
import type { RingPlane } from "./ring-plane/ring-plane.ts";
import { RingVector } from "./ring-vector.ts";

/** Elements of a bucket: 8 MiB of f32. */
const BUCKET = 2 ** 21;

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

  async #run(vector: RingVector, phases: Phases, signal: AbortSignal | undefined): Promise<void> {
    const { rank, world, chunkBytes, plane } = this.#parts;
    const { length: total, wire, memory } = vector;
    const plan = new RingPlan({ rank, world, total, wire, chunkBytes, buckets: bucketsOf(total) });
    const space = new Workspace(plan, phases, memory, vector.placesOf(phases));
    const started = performance.now();
    await plane.run(space, { op: this.#count++, attempt: 0 }, signal ? { signal } : {});
    this.#traffic.ms += performance.now() - started;
    this.#traffic.bytes += sentBytes(plan, phases);
  }
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

function bucketsOf(total: number): ElementRange[] {
  const count = Math.max(1, Math.ceil(total / BUCKET));
  const whole = BUCKET - (BUCKET % BLOCK);
  return Array.from({ length: count }, (_, i) => {
    return { from: i * whole, to: Math.min(total, (i + 1) * whole) };
  });
}
