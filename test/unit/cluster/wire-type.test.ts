import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLOCK } from "../../../cluster/ring/wire-type.ts";
import { int8Block } from "../../reference/ring-sum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import {
  benches,
  bitsOf,
  blocksOf,
  LENGTHS,
  NEXT,
  PACKED,
  plain,
  RESIDUAL,
  VALUES,
  varied,
} from "../../support/reducer-bench.ts";

describe("what is exact", () => {
  test("f32: every bit", () => {
    const values = varied(4099, 9);
    expect(bitsOf(benches.f32.unpack(benches.f32.pack(values), 4099))).toEqual(bitsOf(values));
  });

  test("bf16: each of its 65,536 patterns comes back as it was, but for the names of NaN", () => {
    const patterns = Uint16Array.from({ length: 8192 }, (_, i) => i);
    for (let from = 0; from < 65_536; from += patterns.length) {
      const sent = patterns.map((i) => from + i);
      const values = benches.bf16.unpack(new Uint8Array(sent.buffer), sent.length);
      const again = new Uint16Array(benches.bf16.pack(values).buffer);
      expect(again).toEqual(sent.map((pattern, i) => (Number.isNaN(values[i]) ? 0x7fc0 : pattern)));
    }
  });

  test("int8: packing what was unpacked gives the same bytes", () => {
    const { int8 } = benches;
    for (let seed = 0; seed < 300; seed++) {
      const packed = int8.pack(seed % 2 === 0 ? plain(600, seed) : varied(600, seed));
      expect(int8.pack(int8.unpack(packed, 600))).toEqual(packed);
    }
  });

  test("int8: the scale of 127 times a scale is that scale, for each of the 8,388,608 digits", () => {
    const isKept = (max: number): boolean => {
      const scale = Math.fround(max / 127);
      return Math.fround(Math.fround(127 * scale) / 127) === scale;
    };
    let lost = 0;
    for (let digits = 2 ** 23; digits < 2 ** 24; digits++) if (!isKept(digits)) lost++;
    expect(lost).toBe(0);
    // a scale that is 1/127 of no f32 may change: other packers' bytes are handed on, not packed again
    const strange = 2 ** 23 + 102_464;
    expect(Math.fround(Math.fround(127 * strange) / 127)).not.toBe(strange);
  });
});

describe("int8", () => {
  const { int8 } = benches;

  test("the scale, the quotients and what they lose are the oracle's", () => {
    for (const length of LENGTHS) {
      const values = varied(length, length);
      const residual = plain(length, length + 1);
      const packed = Buffer.from(int8.pack(values, residual));
      const x = values.map((value, i) => value + (residual[i] as number));
      let at = 0;
      const expected = blocksOf(x).map((block) => int8Block(block));
      for (const { scale, quotients } of expected) {
        expect(packed.readFloatLE(at)).toBe(scale);
        expect([...packed.subarray(at + 4, at + 4 + quotients.length)]).toEqual(
          quotients.map((quotient) => quotient & 0xff),
        );
        at += 4 + quotients.length;
      }
      expect(bitsOf(int8.floats(NEXT, length))).toEqual(bitsOf(expected.flatMap((b) => b.lost)));
    }
  });

  test("loses at most half a quantum, and the greatest value next to nothing", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: -100, max: 100 }), (seed, exponent) => {
        const values = plain(BLOCK, seed).map((x) => x * 2 ** exponent);
        int8.pack(values);
        const max = Math.max(...values.map(Math.abs));
        const lost = int8.floats(NEXT, BLOCK);
        expect(Math.max(...lost.map(Math.abs))).toBeLessThanOrEqual((max / 254) * (1 + 2 ** -15));
        const top = values.findIndex((x) => Math.abs(x) === max);
        expect(Math.abs(lost[top] as number)).toBeLessThanOrEqual(max * 2 ** -22);
      }),
    );
  });

  test.each([BLOCK, 60])(
    "of %i too small for a scale nothing arrives and nothing is lost",
    (length) => {
      const values = Float32Array.from({ length }, (_, i) => (i % 60) * 2 ** -149);
      const packed = int8.pack(values);
      expect(packed.every((byte) => byte === 0)).toBe(true);
      expect(int8.unpack(packed, length).every((x) => Object.is(x, 0))).toBe(true);
      expect([...int8.floats(NEXT, length)]).toEqual([...values]);
    },
  );

  test.each([BLOCK, 60])("of %i whose scale has lost digits no quotient leaves ±127", (length) => {
    const values = Float32Array.from({ length }, (_, i) => (i % 2 === 0 ? -190 : 190) * 2 ** -149);
    const quotients = new Int8Array(int8.pack(values).buffer, 4);
    expect([...quotients]).toEqual(Array.from(values, (x) => 127 * Math.sign(x)));
    expect([...int8.floats(NEXT, length)]).toEqual(
      Array.from(values, (x) => Math.sign(x) * 63 * 2 ** -149),
    );
  });

  test("one place may take both residuals", () => {
    const values = plain(1000, 1);
    const packed = int8.pack(values, plain(1000, 2));
    const next = int8.floats(NEXT, 1000).slice();
    int8.floats(VALUES, 1000).set(values);
    const feedback = { residual: RESIDUAL, nextResidual: RESIDUAL };
    int8.reducer.pack(VALUES, PACKED, 1000, feedback);
    expect(int8.packed(1000)).toEqual(packed);
    expect(int8.floats(RESIDUAL, 1000)).toEqual(next);
  });

  test("packs nothing without feedback", () => {
    expect(clusterCodeOf(() => int8.reducer.pack(VALUES, PACKED, 1))).toBe("argument_invalid");
    const outside = { residual: RESIDUAL, nextResidual: -4 };
    expect(clusterCodeOf(() => int8.reducer.pack(VALUES, PACKED, 1, outside))).toBe(
      "argument_invalid",
    );
  });
});
