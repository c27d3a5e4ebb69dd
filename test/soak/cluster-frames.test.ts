import { expect, test } from "vitest";
import { fuzzFrames } from "../cluster/transport/fuzz.ts";

const MIB = 2 ** 20;
const FRAMES = 200_000;

test(`${FRAMES} frames that chance makes get the right code, and no memory stays behind`, async () => {
  await fuzzFrames(10_000, 1);
  const before = await settledMemory();
  const { frames, codes, wrong } = await fuzzFrames(FRAMES, Date.now() % 2 ** 31);
  const after = await settledMemory();
  expect(wrong).toEqual([]);
  expect(frames).toBeGreaterThanOrEqual(FRAMES);
  expect(codes.has(1011)).toBe(false);
  expect(after.heapUsed - before.heapUsed).toBeLessThan(16 * MIB);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * MIB);
});

/** Sockets are let go of in turns of the event loop. */
async function settledMemory(): Promise<NodeJS.MemoryUsage> {
  for (let turn = 0; turn < 4; turn++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage();
}
