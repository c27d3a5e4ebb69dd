import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesOf,
  dtypeOf,
  fromBf16,
  fromHalf,
  hostArray,
  promote,
  toBf16,
  toHalf,
  toHostArray,
} from "../../../engine/tensor/dtype.ts";
import { codeOf } from "../../support/errors.ts";

const INFINITY_BITS = 0x7c00;

/** The nearest half of a positive number by search: patterns of positive halves ascend with their values. */
function nearestHalf(value: number): number {
  let low = 0;
  let high = INFINITY_BITS;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fromHalf(middle) <= value) low = middle;
    else high = middle;
  }
  const above = high === INFINITY_BITS ? 65536 : fromHalf(high);
  const [down, up] = [value - fromHalf(low), above - value];
  if (down === up) return low % 2 === 0 ? low : high;
  return down < up ? low : high;
}

describe("toHalf and fromHalf", () => {
  test("return every bit pattern that is no NaN unchanged", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromHalf(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromHalf(toHalf(value)))).toBe(true);
      else if (toHalf(value) !== bits) expect.fail(`${bits} became ${toHalf(value)}`);
    }
  });

  test("round any number to the nearest half, ties to even", () => {
    const numbers = fc.oneof(
      fc.double({ min: 0, max: 70000, noNaN: true }),
      fc.double({ min: 0, max: 1e-4, noNaN: true }),
      // halfway between two halves, and a little beside it
      fc
        .tuple(
          fc.integer({ min: 0, max: INFINITY_BITS - 2 }),
          fc.constantFrom(-1, 0, 1),
          fc.integer({ min: 20, max: 52 }),
        )
        .map(([bits, side, bit]) => {
          const half = (fromHalf(bits) + fromHalf(bits + 1)) / 2;
          return half + side * half * 2 ** -bit;
        }),
    );
    fc.assert(
      fc.property(numbers, (x) => {
        expect(toHalf(x)).toBe(nearestHalf(x));
        expect(toHalf(-x)).toBe(0x8000 | nearestHalf(x));
      }),
      { numRuns: 20_000 },
    );
  });

  test("turn numbers beyond 65,519 into infinity and keep the sign of zero", () => {
    expect([65519.99, 65520, 1e30, Number.POSITIVE_INFINITY].map(toHalf)).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0x7c00,
    ]);
    expect([0, -0].map(toHalf)).toEqual([0, 0x8000]);
    expect(fromHalf(0xfc00)).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe("toBf16 and fromBf16", () => {
  test("return every bit pattern that is no NaN unchanged", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromBf16(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromBf16(toBf16(value)))).toBe(true);
      else if (toBf16(value) !== bits) expect.fail(`${bits} became ${toBf16(value)}`);
    }
  });

  test("round any number to the nearest one, ties to even, and beyond the largest to infinity", () => {
    const patterns = fc.integer({ min: 0, max: 0x7f7e });
    const sides = fc.constantFrom(-1, 0, 1);
    fc.assert(
      fc.property(patterns, sides, fc.integer({ min: 20, max: 52 }), (bits, side, bit) => {
        const half = (fromBf16(bits) + fromBf16(bits + 1)) / 2;
        const x = half + side * half * 2 ** -bit;
        const nearest = x === half ? bits + (bits % 2) : bits + (x > half ? 1 : 0);
        expect(toBf16(x)).toBe(nearest);
        expect(toBf16(-x)).toBe(0x8000 | nearest);
      }),
      { numRuns: 20_000 },
    );
    expect([3.3963e38, 3.4e38, -1e300].map(toBf16)).toEqual([0x7f80, 0x7f80, 0xff80]);
  });
});

describe("promote", () => {
  test("keeps equal dtypes and widens f16 beside f32", () => {
    expect(promote("add", ["i32", "i32"])).toBe("i32");
    expect(promote("add", ["f16", "f16"])).toBe("f16");
    expect(promote("add", ["f16", "f32"])).toBe("f32");
  });

  test.each([
    ["f32", "i32"],
    ["i32", "u32"],
    ["u32", "f16"],
  ] as const)("refuses to mix %s with %s", (a, b) => {
    expect(codeOf(() => promote("add", [a, b]))).toBe("dtype_mismatch");
  });

  test("has no place for bf16", () => {
    for (const other of ["bf16", "f32", "u32"] as const)
      expect(codeOf(() => promote("add", [other, "bf16"]))).toBe("dtype_unsupported");
  });
});

describe("host arrays", () => {
  test("are converted number by number, or kept", () => {
    const halves = Uint16Array.of(0x3c00, 0xc000);
    expect(toHostArray(halves, "f16")).toBe(halves);
    expect(toHostArray(halves, "bf16")).toEqual(Uint16Array.of(0x3f80, 0xc000));
    expect(toHostArray([1, -2], "f16")).toEqual(halves);
    expect(toHostArray(halves, "i32")).toEqual(Int32Array.of(1, -2));
  });

  test("carry their dtype, and f16 travels in 16-bit patterns", () => {
    for (const dtype of ["f32", "f16", "i32", "u32"] as const) {
      const made = hostArray(dtype, 3);
      expect(dtypeOf(made)).toBe(dtype);
      expect(made.BYTES_PER_ELEMENT).toBe(bytesOf(dtype));
    }
  });
});
