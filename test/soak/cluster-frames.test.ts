import { expect, test } from "vitest";
import { fuzzFrames } from "../cluster/transport/fuzz.ts";

const MIB = 2 ** 20;
/** A door remembers 4,096 tickets of an epoch, and takes no more: each so many frames have one of their own. */
const FRAMES_A_DOOR = 20_000;
const DOORS = 10;

test(`${DOORS * FRAMES_A_DOOR} frames that chance makes get the right code, and no memory stays behind`, async () => {
  await fuzzFrames(10_000, 1);
  const before = await settledMemory();
  for (let door = 0; door < DOORS; door++) {
    const { frames, codes, wrong } = await fuzzFrames(FRAMES_A_DOOR, Date.now() % 2 ** 31);
    expect(wrong).toEqual([]);
    expect(frames).toBeGreaterThanOrEqual(FRAMES_A_DOOR);
    expect(codes.has(1011)).toBe(false);
  }
  const after = await settledMemory();
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
