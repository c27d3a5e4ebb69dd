import type { RingSpace, Rings, RunPlace } from "../../cluster/ring-plane/rings.ts";

/** Moves a collective, all of whose buckets are ready, to its end. */
export async function moveAll(
  rings: Rings,
  space: RingSpace,
  place: RunPlace,
  signal?: AbortSignal,
): Promise<void> {
  const run = rings.start(space, place, signal);
  for (const bucket of space.shape.buckets.keys()) run.bucketReady(bucket);
  await run.done;
}
