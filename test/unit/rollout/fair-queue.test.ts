import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairQueue } from "../../../src/rollout/fair-queue.ts";

function drained<T>(queue: FairQueue<T>): T[] {
  const out: T[] = [];
  for (let next = queue.shift(); next; next = queue.shift()) out.push(next.item);
  return out;
}

describe("FairQueue", () => {
  it("serves keys in turns, and each in its order", () => {
    const queue = new FairQueue<string>(10);
    for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.push(item[0] as string, item);
    expect(drained(queue)).toEqual(["a1", "b1", "c1", "a2", "c2", "a3"]);
  });

  it("refuses what is beyond its capacity, and counts what leaves", () => {
    const queue = new FairQueue<number>(2);
    expect([queue.push("a", 1), queue.push("b", 2), queue.push("a", 3)]).toEqual([
      true,
      true,
      false,
    ]);
    expect(queue.remove(1)).toBe(true);
    expect(queue.remove(1)).toBe(false);
    expect(queue.push("a", 4)).toBe(true);
    expect(drained(queue)).toEqual([2, 4]);
    expect(queue.size).toBe(0);
  });

  it("puts back what was taken out as if it had not been", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1 }),
        fc.nat(8),
        (keys, n) => {
          const make = (): FairQueue<number> => {
            const queue = new FairQueue<number>(100);
            for (const [i, key] of keys.entries()) queue.push(key, i);
            return queue;
          };
          const queue = make();
          const taken = Array.from({ length: Math.min(n, keys.length) }, () => queue.shift());
          for (const next of taken.reverse()) if (next) queue.unshift(next.key, next.item);
          expect(queue.size).toBe(keys.length);
          const [first, again] = [make().shift(), queue.shift()];
          expect(again).toEqual(first);
          expect([...drained(queue), again?.item].sort()).toEqual(keys.map((_, i) => i).sort());
        },
      ),
    );
  });
});
