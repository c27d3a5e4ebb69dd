/** Rings of processes over loopback: small vectors here, all worlds and 64 MiB in the soak. */
import { afterAll, describe, expect, it } from "vitest";
import { WIRE_TYPES } from "../../cluster/ring/wire-type.ts";
import { startRanks, summed, summedAlike } from "../support/cluster/ring-processes.ts";

const WORLDS = [1, 2, 3, 5, 8];
const ranks = startRanks(Math.max(...WORLDS));

afterAll(() => ranks[Symbol.asyncDispose]());

const PRIME = 20_011;
const KIB = 2 ** 10;
const CUTS = [
  { chunkBytes: 1 * KIB + 64, bucketBytes: 3 * KIB, threads: 0 },
  { chunkBytes: 64 * KIB, bucketBytes: 16 * KIB, threads: 0 },
] as const;
const IN_THREADS = { chunkBytes: 4 * KIB, bucketBytes: 2 * KIB, threads: 2 };

describe.each(WORLDS)("a ring of %i processes", (world) => {
  // fewer numbers than there are in a block, which is never cut; blocks; and primes
  const numbers = [...new Set([0, 1, world - 1, world, world + 1])];
  const blocks = [world - 1, world, world + 1].filter((count) => count > 0);
  const lengths = [...blocks.map((count) => 256 * count), 257, PRIME];

  it.each(WIRE_TYPES)("has the sum in f64 as near as %s allows, in the same bits", async (wire) => {
    for (const elements of numbers) await summed(ranks, { world, elements, wire }, CUTS[0]);
    for (const elements of lengths) {
      const task = { world, elements, wire };
      const { largestError, bound } = await summedAlike(ranks, task, CUTS);
      // what is allowed says something of what is found
      if (world > 1 && elements === PRIME) expect(largestError).toBeGreaterThan(bound / 20);
    }
  });
});

it("parallel rings in threads have the same bits", async () => {
  const task = { world: 2, elements: PRIME, wire: "int8" } as const;
  await summedAlike(ranks, task, [CUTS[0], IN_THREADS]);
});
