import { describe, expect, test } from "vitest";
import {
  bf16ToF32,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  firstNonFinite,
  packPairs,
} from "../../../engine/models/float-formats.ts";
import { fromHalf, toHalf } from "../../../engine/tensor/dtype.ts";
import { codeOf } from "../../support/errors.ts";
import { randoms } from "../../support/gpu.ts";

const PATTERNS = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);

function bytesOf(words: Uint16Array | Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** The same bytes where no word can be viewed in place. */
function displaced(bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 1);
  buffer.set(bytes, 1);
  return buffer.subarray(1);
}

/** The value of a bf16 pattern, by the definition of the format. */
function fromBf16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 7) & 0xff;
  const mantissa = bits & 0x7f;
  if (exponent === 0) return sign * mantissa * 2 ** -133;
  if (exponent === 0xff) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 128) * 2 ** (exponent - 127);
}

function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) expect.fail(`[${i}]: ${actual[i]}, not ${expected[i]}`);
  }
}

describe.each([
  { name: "bf16", widen: bf16ToF32, narrow: f32ToBf16, from: fromBf16 },
  { name: "f16", widen: f16ToF32, narrow: f32ToF16, from: fromHalf },
])("$name", ({ widen, narrow, from }) => {
  const values = Array.from(PATTERNS, from);

  test("becomes f32 without loss, for every pattern and at any address", () => {
    expectSame(widen(bytesOf(PATTERNS)), values);
    expectSame(widen(displaced(bytesOf(PATTERNS))), values);
    expectSame(widen(bytesOf(PATTERNS.subarray(1, 4))), values.slice(1, 4));
  });

  test("goes where there is room, and only there", () => {
    const room = new Float32Array(6).fill(7);
    const wide = widen(bytesOf(PATTERNS.subarray(1, 5)), room.subarray(1));
    expect(wide.buffer).toBe(room.buffer);
    expectSame(room, [7, ...values.slice(1, 5), 7]);
    const halves = new Uint16Array(5).fill(7);
    expectSame(narrow(wide, halves), PATTERNS.subarray(1, 5));
    expectSame(halves, [1, 2, 3, 4, 7]);
    expect(codeOf(() => widen(bytesOf(PATTERNS), room))).toBe("argument_invalid");
    expect(codeOf(() => narrow(Float32Array.from(values), halves))).toBe("argument_invalid");
  });

  test("comes back from f32 unchanged, and NaN stays a NaN of its sign", () => {
    const back = narrow(Float32Array.from(values));
    for (const [bits, value] of values.entries()) {
      const got = back[bits] as number;
      if (Number.isNaN(value)) expect(from(got)).toBeNaN();
      else if (got !== bits) expect.fail(`${bits} became ${got}`);
    }
  });

  test("is the nearest to any f32 between two patterns, ties to even", () => {
    const inputs: number[] = [];
    const expected: number[] = [];
    for (let bits = 0; from(bits + 1) < Number.POSITIVE_INFINITY; bits++) {
      const tie = (from(bits) + from(bits + 1)) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      for (const sign of [1, -1]) {
        const place = sign === 1 ? 0 : 0x8000;
        inputs.push(sign * tie, sign * below(tie), sign * above(tie));
        expected.push(place | even, place | bits, place | (bits + 1));
      }
    }
    expectSame(narrow(Float32Array.from(inputs)), expected);
  });
});

test("what lies beyond the largest number becomes infinity from half a step on", () => {
  const largest = fromBf16(0x7f7f);
  const half = largest + 2 ** 119;
  expectSame(f32ToBf16(Float32Array.of(half, below(half), -half)), [0x7f80, 0x7f7f, 0xff80]);
  const f16 = Float32Array.of(65520, below(65520), -65520, 65536, 1e38);
  expectSame(f32ToF16(f16), [0x7c00, 0x7bff, 0xfc00, 0x7c00, 0x7c00]);
});

test("f32ToF16 agrees with toHalf on a million patterns", () => {
  const random = randoms(1);
  const bits = Uint32Array.from({ length: 2 ** 20 }, () => random.next() * 2 ** 32);
  const values = new Float32Array(bits.buffer);
  expectSame(f32ToF16(values), Uint16Array.from(values, toHalf));
});

test("a NaN whose payload lies in the bits that bf16 drops stays a NaN", () => {
  const values = new Float32Array(Uint32Array.of(0x7f80_0001, 0xffff_ffff, 0x7fff_ffff).buffer);
  expectSame(f32ToBf16(values), [0x7fc0, 0xffff, 0x7fff]);
});

describe("packPairs", () => {
  test("keeps the bits and their order, the first in the low half", () => {
    const pairs = Uint16Array.of(0x1111, 0x2222, 0x3333);
    expect([...packPairs(bytesOf(pairs))]).toEqual([0x2222_1111, 0x3333]);
    expect([...packPairs(displaced(bytesOf(pairs)))]).toEqual([0x2222_1111, 0x3333]);
    expect([...packPairs(bytesOf(pairs.subarray(1)))]).toEqual([0x3333_2222]);
    expect(packPairs(new Uint8Array())).toHaveLength(0);
  });

  test("copies nothing that lies on a word boundary", () => {
    const bytes = new Uint8Array(8);
    expect(packPairs(bytes).buffer).toBe(bytes.buffer);
  });
});

describe("firstNonFinite", () => {
  test.each([
    ["F16", fromHalf],
    ["BF16", fromBf16],
  ] as const)("judges every %s pattern, in either half of a word and alone", (dtype, from) => {
    for (const bits of PATTERNS) {
      const isGood = Number.isFinite(from(bits));
      const largest = dtype === "F16" ? 0x7bff : 0x7f7f;
      for (let index = 0; index < 3; index++) {
        const row = new Uint16Array(3).fill(largest);
        row[index] = bits;
        const found = firstNonFinite(bytesOf(row), dtype);
        if (found !== (isGood ? -1 : index)) expect.fail(`${dtype} ${bits} at ${index}: ${found}`);
      }
    }
  });

  test("judges f32 by its exponent", () => {
    const { MAX_VALUE, NaN: nan, POSITIVE_INFINITY: infinity } = Number;
    expect(firstNonFinite(bytesOf(Float32Array.of(3.4e38, -0, 1e-45, -3.4e38)), "F32")).toBe(-1);
    for (const bad of [nan, infinity, -infinity, MAX_VALUE]) {
      expect(firstNonFinite(bytesOf(Float32Array.of(1, -2, bad, nan)), "F32")).toBe(2);
    }
    const signalling = Uint32Array.of(0x3f80_0000, 0xff80_0001);
    expect(firstNonFinite(displaced(bytesOf(signalling)), "F32")).toBe(1);
  });

  test("finds the first of several, in both halves of a word", () => {
    expect(firstNonFinite(bytesOf(Uint16Array.of(0, 0, 0x7c00, 0x7c00)), "F16")).toBe(2);
    expect(firstNonFinite(new Uint8Array(), "BF16")).toBe(-1);
  });
});

test("parts of elements are refused", () => {
  expect(codeOf(() => firstNonFinite(new Uint8Array(6), "F32"))).toBe("argument_invalid");
  expect(codeOf(() => firstNonFinite(new Uint8Array(3), "F16"))).toBe("argument_invalid");
  expect(codeOf(() => bf16ToF32(new Uint8Array(3)))).toBe("argument_invalid");
  expect(codeOf(() => f16ToF32(new Uint8Array(1)))).toBe("argument_invalid");
  expect(codeOf(() => packPairs(new Uint8Array(3)))).toBe("argument_invalid");
});

/** The next f32 towards zero and away from it. */
function below(value: number): number {
  return neighbour(value, -1);
}

function above(value: number): number {
  return neighbour(value, 1);
}

function neighbour(value: number, step: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  return new Float32Array(bits.map((word) => word + step).buffer)[0] as number;
}
