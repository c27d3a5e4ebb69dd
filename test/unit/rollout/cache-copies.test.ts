import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CacheCopy, independentRuns, MAX_COPIES } from "../../../src/rollout/cache-copies.ts";

/** What slots hold after copies that read and write all at once. */
function atOnce(slots: readonly string[], copies: readonly CacheCopy[]): string[] {
  const after = [...slots];
  for (const { from, to, length } of copies) after[to] = (slots[from] as string).slice(0, length);
  return after;
}

describe("independentRuns", () => {
  it("come to what the copies come to one after the other, whatever they read and write", () => {
    const slots = Array.from({ length: 6 }, (_, i) => String.fromCharCode(97 + i).repeat(9));
    const index = fc.nat(5);
    const copy = fc
      .record({ from: index, to: index, length: fc.integer({ min: 1, max: 9 }) })
      .filter(({ from, to }) => from !== to);
    fc.assert(
      fc.property(fc.array(copy, { maxLength: 12 }), (copies) => {
        const inOrder = copies.reduce((held, each) => atOnce(held, [each]), slots);
        expect(independentRuns(copies).reduce(atOnce, slots)).toEqual(inOrder);
      }),
    );
  });

  it("are as few as can be, and none is too long for a call", () => {
    const copies = Array.from({ length: 2 * MAX_COPIES + 3 }, (_, i) => ({
      from: 0,
      to: i + 1,
      length: 4,
    }));
    expect(independentRuns(copies).map((run) => run.length)).toEqual([MAX_COPIES, MAX_COPIES, 3]);
    expect(independentRuns([])).toEqual([]);
  });
});
