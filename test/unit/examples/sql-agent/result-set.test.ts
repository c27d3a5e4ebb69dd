import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Cell,
  isSameResult,
  type ResultSet,
  showResult,
} from "../../../../examples/sql-agent/result-set.ts";

function result(rows: readonly (readonly Cell[])[], isCut = false): ResultSet {
  return { columns: rows[0]?.map((_, i) => `c${i}`) ?? [], rows, isCut };
}

const cell = fc.oneof(
  fc.constantFrom<Cell>("oslo", "rome", null, true, false),
  fc.integer({ min: -3, max: 3 }),
);

describe("isSameResult", () => {
  it("counts rows, and heeds their order only where it was asked for", () => {
    const [a, b] = [
      ["oslo", 1],
      ["rome", 2],
    ] as const;
    expect(isSameResult(result([a, b]), result([b, a]), false)).toBe(true);
    expect(isSameResult(result([a, b]), result([b, a]), true)).toBe(false);
    expect(isSameResult(result([a, b]), result([a, b]), true)).toBe(true);
    expect(isSameResult(result([a, a, b]), result([a, b, b]), false)).toBe(false);
    expect(isSameResult(result([a]), result([a, a]), false)).toBe(false);
    expect(isSameResult(result([]), result([]), true)).toBe(true);
  });

  it("tells apart what SQL tells apart", () => {
    const kinds: readonly Cell[] = [null, 0, "0", "", false, "null", "false"];
    for (const [i, a] of kinds.entries())
      for (const [j, b] of kinds.entries())
        expect(isSameResult(result([[a]]), result([[b]]), false), `${a} ${b}`).toBe(i === j);
    expect(isSameResult(result([[1]]), result([[1, null]]), false)).toBe(false);
    expect(isSameResult(result([["a", "b"]]), result([["b", "a"]]), false)).toBe(false);
  });

  it("takes numbers for equal that differ by a millionth, and no more", () => {
    const same = (a: number, b: number) => isSameResult(result([[a]]), result([[b]]), true);
    expect(same(1 / 3, 0.3333333333)).toBe(true);
    expect(same(-2e9, -2e9 - 1)).toBe(true);
    expect(same(100, 100.001)).toBe(false);
    expect(same(0, 1e-9)).toBe(false);
    expect(same(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)).toBe(true);
    expect(same(Number.POSITIVE_INFINITY, 1)).toBe(false);
    expect(same(1, -1)).toBe(false);
  });

  it("finds the partners of nearly equal numbers, where the first choice is wrong", () => {
    // the first row takes the second's only partner, and has to give it back
    const [low, middle, high] = [1, 1 + 8e-7, 1 + 16e-7];
    expect(isSameResult(result([[middle], [low]]), result([[low], [middle]]), false)).toBe(true);
    expect(isSameResult(result([[low], [high]]), result([[middle], [middle]]), false)).toBe(true);
    expect(isSameResult(result([[middle], [low]]), result([[middle], [high]]), false)).toBe(true);
    expect(isSameResult(result([[low], [low]]), result([[middle], [high]]), false)).toBe(false);
  });

  it("trusts no answer that was cut", () => {
    expect(isSameResult(result([[1]], true), result([[1]]), false)).toBe(false);
    expect(isSameResult(result([[1]]), result([[1]], true), false)).toBe(false);
  });

  it("agrees with the multiset of rows", () => {
    const rows = fc.array(fc.tuple(cell, cell), { maxLength: 8 });
    const sorted = (r: readonly (readonly Cell[])[]): string[] =>
      r.map((row) => JSON.stringify(row.map((c) => (Object.is(c, -0) ? 0 : c)))).sort();
    fc.assert(
      fc.property(rows, rows, (a, b) => {
        const isEqual = JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
        expect(isSameResult(result(a), result(b), false)).toBe(isEqual);
        expect(isSameResult(result(a), result(a.toReversed()), false)).toBe(true);
      }),
    );
  });
});

describe("showResult", () => {
  it("writes a line for each row", () => {
    expect(
      showResult(
        result([
          ["oslo", 2 / 3],
          [null, 7],
        ]),
      ),
    ).toBe("oslo|0.67\nnull|7");
    expect(showResult(result([[1], [2], [3]]), 2)).toBe("1\n2\nand more");
    expect(showResult(result([[1]], true))).toBe("1\nand more");
    expect(showResult(result([]))).toBe("no rows");
  });
});
