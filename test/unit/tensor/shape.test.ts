import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ForgeError } from "../../../engine/error.ts";
import {
  broadcastShapes,
  contiguousStrides,
  normalizeAxes,
  normalizeAxis,
  resolveShape,
  sizeOf,
} from "../../../engine/tensor/shape.ts";
import { at, broadcastShape, build, coordinates, count } from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";

const size = fc.constantFrom(0, 1, 1, 2, 3, 5);
const shape = fc.array(size, { maxLength: 4 });

describe("broadcastShapes", () => {
  test("follows NumPy's rule for any number of shapes, and refuses what does not fit", () => {
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 3 }), (shapes) => {
        const expected = broadcastShape(shapes);
        if (expected) expect(broadcastShapes("add", shapes)).toEqual(expected);
        else expect(codeOf(() => broadcastShapes("add", shapes))).toBe("shape_mismatch");
      }),
      { numRuns: 2000 },
    );
  });

  test("names the op, all shapes and the axis that does not fit", () => {
    const error = (): unknown => broadcastShapes("mul", [[2, 3], [4, 3], [3]]);
    expect(error).toThrow(ForgeError);
    expect(error).toThrow(/mul: .*\n.*\[2, 3\] · \[4, 3\] · \[3\]\n.*axis 0 has sizes 2 and 4/);
  });
});

describe("contiguousStrides", () => {
  test("number the elements of any shape in row-major order", () => {
    fc.assert(
      fc.property(shape, (s) => {
        const strides = contiguousStrides(s);
        const indices = coordinates(s).map((c) =>
          c.reduce((o, x, i) => o + x * (strides[i] ?? 0), 0),
        );
        expect(indices).toEqual(Array.from({ length: sizeOf(s) }, (_, i) => i));
      }),
    );
  });
});

describe("normalizeAxis", () => {
  test("counts negative axes from the end", () => {
    expect([-3, -1, 0, 2].map((a) => normalizeAxis("sum", a, 3))).toEqual([0, 2, 0, 2]);
  });

  test.each([3, -4, 0.5, Number.NaN])("refuses axis %s of rank 3", (axis) => {
    expect(codeOf(() => normalizeAxis("sum", axis, 3))).toBe("rank_mismatch");
  });

  test("refuses every axis of a scalar", () => {
    expect(codeOf(() => normalizeAxis("sum", 0, 0))).toBe("rank_mismatch");
  });
});

describe("normalizeAxes", () => {
  test("sorts, drops repeats, and takes undefined for all axes", () => {
    expect(normalizeAxes("sum", [-1, 0, 2], 3)).toEqual([0, 2]);
    expect(normalizeAxes("sum", 1, 3)).toEqual([1]);
    expect(normalizeAxes("sum", undefined, 3)).toEqual([0, 1, 2]);
    expect(normalizeAxes("sum", [], 3)).toEqual([]);
  });
});

describe("resolveShape", () => {
  test("finds the size of the one axis that is -1", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (s, pick) => {
          const hole = pick % s.length;
          const asked = s.map((x, i) => (i === hole ? -1 : x));
          expect(resolveShape("reshape", asked, count(s))).toEqual(s);
        },
      ),
    );
  });

  test.each([
    ["two holes", [-1, -1], 4],
    ["a hole that does not divide", [-1, 3], 4],
    ["another number of elements", [2, 3], 4],
    ["a negative size", [-2, -2], 4],
    ["a fractional size", [1.5, 4], 6],
    ["a hole beside a zero", [-1, 0], 0],
  ] as const)("refuses %s", (_name, asked, elements) => {
    expect(codeOf(() => resolveShape("reshape", asked, elements))).toBe("shape_mismatch");
  });

  test("takes zero sizes and scalars", () => {
    expect(resolveShape("reshape", [0], 0)).toEqual([0]);
    expect(resolveShape("reshape", [-1, 3], 0)).toEqual([0, 3]);
    expect(resolveShape("reshape", [], 1)).toEqual([]);
  });
});

describe("the naive model of these tests", () => {
  test("addresses elements in row-major order", () => {
    const x = build([2, 3], ([i, j]) => 10 * (i ?? 0) + (j ?? 0));
    expect(x.data).toEqual([0, 1, 2, 10, 11, 12]);
    expect(at(x, [1, 2])).toBe(12);
    expect(broadcastShape([[3, 1], [1, 4], []])).toEqual([3, 4]);
    expect(broadcastShape([[3], [4]])).toBeUndefined();
    expect(broadcastShape([[0], [1]])).toEqual([0]);
    expect(broadcastShape([[0], [3]])).toBeUndefined();
  });
});
