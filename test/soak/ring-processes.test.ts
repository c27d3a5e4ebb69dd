/** Rings of 1 to 8 processes over loopback, of 64 MiB and of a prime about as large, on the main thread and in threads. */
import { afterAll, expect, it } from "vitest";
import { WIRE_TYPES } from "../../cluster/ring/wire-type.ts";
import { startRanks, summedAlike } from "../support/cluster/ring-processes.ts";

const WORLDS = [1, 2, 3, 4, 5, 6, 7, 8];
const MIB = 2 ** 20;
const ranks = startRanks(Math.max(...WORLDS));

afterAll(() => ranks[Symbol.asyncDispose]());

const CUTS = [
  { chunkBytes: MIB, bucketBytes: 8 * MIB, threads: 0 },
  { chunkBytes: 192 * 1024, bucketBytes: 5 * MIB, threads: 2 },
];

it.each(WORLDS.flatMap((world) => WIRE_TYPES.map((wire) => ({ world, wire }))))(
  "$world processes sum 64 MiB in $wire",
  async ({ world, wire }) => {
    for (const elements of [16 * MIB, 15_485_863]) {
      const { largestError, bound } = await summedAlike(ranks, { world, elements, wire }, CUTS);
      process.stderr.write(`${world} ${wire} ${elements}: off by ${largestError} of ${bound}\n`);
      if (world > 1) expect(largestError).toBeGreaterThan(bound / 20);
    }
  },
);
