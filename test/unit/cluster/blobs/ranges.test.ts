import fc from "fast-check";
import { expect, test } from "vitest";
import { byteRange } from "../../../../cluster/blobs/byte-range.ts";
import { RangeQueue } from "../../../../cluster/blobs/range-queue.ts";

const size = fc.integer({ min: 0, max: 20 });
const place = fc.integer({ min: 0, max: 30 });

test("a range is the bytes that RFC 9110 says", () => {
  fc.assert(
    fc.property(size, place, place, (size, first, last) => {
      const bytes = Buffer.from(Array.from({ length: size }, (_, i) => i));
      const asked = (header: string): Buffer | string => {
        const range = byteRange(header, size);
        return typeof range === "string" ? range : bytes.subarray(range.from, range.to);
      };
      const orNone = (part: Buffer): Buffer | string => (part.length > 0 ? part : "none");
      expect(asked(`bytes=${first}-`)).toEqual(orNone(bytes.subarray(first)));
      expect(asked(`bytes=-${last}`)).toEqual(
        orNone(bytes.subarray(Math.max(0, size - last), size)),
      );
      const part = last < first ? "whole" : orNone(bytes.subarray(first, last + 1));
      expect(asked(`bytes=${first}-${last}`)).toEqual(part);
    }),
  );
});

test("what is no range, or several, is as if it were not there", () => {
  for (const header of [
    ...[undefined, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "items=1-2"],
    ...["bytes=1-2 ", "bytes=-1-2", `bytes=${"9".repeat(16)}-`, "bytes=0x1-2", "bytes=1.5-2"],
  ]) {
    expect(byteRange(header, 10), String(header)).toBe("whole");
  }
  expect(byteRange("Bytes=1-2", 10)).toEqual({ from: 1, to: 3 });
});

test("a queue gives out every byte once, and again what comes back", () => {
  const settings = { size: fc.nat(5_000), longest: fc.integer({ min: 1, max: 700 }) };
  fc.assert(
    fc.property(
      fc.record({ ...settings, sources: fc.integer({ min: 1, max: 8 }) }),
      fc.infiniteStream(fc.boolean()),
      ({ size, longest, sources }, fails) => {
        const queue = new RangeQueue(size, longest, sources);
        const times = new Uint8Array(size);
        let failures = 0;
        for (let range = queue.take(); range; range = queue.take()) {
          expect(range.to - range.from).toBeGreaterThan(0);
          expect(range.to - range.from).toBeLessThanOrEqual(longest);
          if (failures < 50 && fails.next().value) {
            failures++;
            queue.giveBack(range);
            expect(queue.isEmpty).toBe(false);
          } else for (let at = range.from; at < range.to; at++) times[at] = (times[at] ?? 0) + 1;
        }
        expect(queue.isEmpty).toBe(true);
        expect(times.every((count) => count === 1)).toBe(true);
      },
    ),
  );
});

test("ranges are short towards the end, but not too short", () => {
  const queue = new RangeQueue(10_000, 1_600, 2);
  const lengths: number[] = [];
  for (let range = queue.take(); range; range = queue.take()) lengths.push(range.to - range.from);
  expect(lengths.slice(0, 3)).toEqual([1_600, 1_600, 1_600]);
  expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
  expect(lengths.slice(0, -1).every((length) => length >= 100)).toBe(true);
  expect(lengths.at(-2)).toBe(100);
});
