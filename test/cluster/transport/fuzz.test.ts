import { expect, test } from "vitest";
import { fuzzChunks, fuzzFrames, fuzzPlainRequests, fuzzRequests } from "./fuzz.ts";

const MIB = 2 ** 20;

test("20,000 frames that chance makes get the right code, and disturb nobody", async () => {
  const before = process.memoryUsage().arrayBuffers;
  const { frames, codes, wrong } = await fuzzFrames(20_000, 6);
  expect(wrong).toEqual([]);
  expect(frames).toBeGreaterThanOrEqual(20_000);
  // all that it could be answered with, it was
  expect([...codes.keys()]).toEqual(expect.arrayContaining([1002, 1003, 1007, 1009, 4000]));
  expect(codes.has(1011)).toBe(false);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
});

test("500 requests with bytes that chance has changed let nobody in without the token", async () => {
  const { statuses, wrong } = await fuzzRequests(500, 6);
  expect(wrong).toEqual([]);
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([101, 400, 401, 403, 426]));
});

test("20,000 plain requests that chance has changed are answered or refused, and disturb nobody", async () => {
  const before = process.memoryUsage().arrayBuffers;
  const { statuses, wrong } = await fuzzPlainRequests(20_000, 6);
  expect(wrong).toEqual([]);
  const all = [200, 400, 401, 403, 404, 405, 413, 417, 426];
  expect([...statuses.keys()]).toEqual(expect.arrayContaining(all));
  expect(statuses.has(500)).toBe(false);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
});

test("chunks that chance has changed end in a code, and are never longer than they may be", async () => {
  const { codes, longest, chunks } = await fuzzChunks(300, 6, 600);
  expect(chunks).toBeGreaterThan(1_000);
  expect(longest).toBeLessThanOrEqual(600);
  expect(codes.has(1011)).toBe(false);
  expect([...codes]).toEqual(expect.arrayContaining([1002, 1006, 1009, 4000]));
});
