import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reducer } from "../../../cluster/ring/reducer.ts";
import { reducerModule } from "../../../cluster/ring/reducer-module.ts";
import { packScalar } from "../../../cluster/ring/scalar.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { bf16, int8Block } from "../../reference/ring-sum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import {
  BYTES,
  benches,
  bitsOf,
  blocksOf,
  LENGTHS,
  NEXT,
  PACKED,
  plain,
  RESIDUAL,
  ReducerBench,
  SPECIALS,
  VALUES,
  varied,
} from "../../support/reducer-bench.ts";

/** What a receiver is to read of packed values, by the oracle. */
function readOf(wire: WireType, values: Float32Array): number[] {
  if (wire === "f32") return [...values];
  if (wire === "bf16") return Array.from(values, bf16);
  return blocksOf(values).flatMap((block) => int8Block(block).values);
}

describe("reducer module", () => {
  test("is a valid module of a few kilobytes, for either kind of memory", () => {
    for (const isShared of [false, true]) {
      const bytes = reducerModule(isShared);
      expect(bytes.length).toBeLessThan(4096);
      const memory = allocateMemory(1, isShared);
      expect(memory.buffer instanceof SharedArrayBuffer).toBe(isShared);
      expect(new Reducer(memory, "f32").memory).toBe(memory);
    }
  });
});

describe.each(WIRE_TYPES)("reducer, %s", (wire) => {
  const bench = benches[wire];

  test("a receiver reads what the oracle says, at every length", () => {
    for (const [seed, length] of LENGTHS.entries()) {
      for (const values of [varied(length, seed), plain(length, seed)]) {
        const read = bench.unpack(bench.pack(values), length);
        expect(bitsOf(read)).toEqual(bitsOf(readOf(wire, values)));
      }
    }
  });

  test("adding rounds once what was received and one's own, at every length", () => {
    for (const [seed, length] of LENGTHS.entries()) {
      const values = varied(length, seed);
      const own = varied(length, seed + 100);
      const sum = readOf(wire, values).map((x, i) => Math.fround(x) + (own[i] as number));
      expect(bitsOf(bench.add(bench.pack(values), own))).toEqual(bitsOf(sum));
    }
  });

  test("whole blocks through SIMD and one element at a time have the same bits", () => {
    for (const values of [varied(2048, 1), plain(2048, 2)]) {
      const residual = plain(2048, 3);
      const packed = bench.pack(values, residual);
      const scalar = new Uint8Array(packed.length);
      const next = new Float32Array(2048);
      packScalar(wire, values, new DataView(scalar.buffer), { residual, nextResidual: next });
      expect(packed).toEqual(scalar);
      if (wire === "int8") expect(bitsOf(bench.floats(NEXT, 2048))).toEqual(bitsOf(next));
    }
  });

  test("pieces of whole blocks are packed as the whole is", () => {
    const blocks = fc.integer({ min: 1, max: 15 });
    fc.assert(
      fc.property(blocks, fc.nat(255), fc.nat(), (whole, tail, seed) => {
        const values = varied(whole * BLOCK + tail, seed);
        const cut = Math.ceil(whole / 2) * BLOCK;
        const packed = bench.pack(values);
        const first = bench.pack(values.subarray(0, cut));
        const second = bench.pack(values.subarray(cut));
        return Buffer.compare(Buffer.concat([first, second]), packed) === 0;
      }),
    );
  });

  test("a shared memory makes no difference", () => {
    const shared = new ReducerBench(wire, true);
    const values = varied(1000, 5);
    const packed = bench.pack(values);
    expect(shared.pack(values)).toEqual(packed);
    expect(shared.add(packed, values)).toEqual(bench.add(packed, values));
    expect(shared.unpack(packed, 1000)).toEqual(bench.unpack(packed, 1000));
  });

  test("touches nothing but its places", () => {
    const { buffer } = bench.reducer.memory;
    for (const length of LENGTHS) {
      const bytes = new Uint8Array(buffer).fill(0x5a);
      bench.unpack(bench.pack(plain(length, 7)), length);
      bench.add(bench.packed(length).slice(), plain(length, 8));
      const places: [number, number][] = [
        [VALUES, 4 * length],
        [RESIDUAL, 4 * length],
        [NEXT, 4 * length],
        [PACKED, bytesOf(length, wire)],
      ];
      for (const [at, size] of places) bytes.fill(0x5a, at, at + size);
      expect(bytes.every((byte) => byte === 0x5a)).toBe(true);
    }
  });

  test("what is not finite does not come out finite", () => {
    // NaN as it is written in JavaScript, and two that rounding their bits would make −0 and 0
    const others = [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7fff_ffff, 0xffff_ffff];
    for (const other of others) {
      for (const length of [256, 100, 300]) {
        for (const at of [0, 5, 99, length - 1]) {
          const values = plain(length, at);
          new Uint32Array(values.buffer)[at] = other;
          const read = bench.unpack(bench.pack(values), length);
          expect(Number.isFinite(read[at])).toBe(false);
          expect(bench.reducer.isFinite(VALUES, length)).toBe(false);
        }
      }
    }
  });

  test("works up to the last byte of the memory, and no further", () => {
    const { reducer } = bench;
    const { byteLength } = reducer.memory.buffer;
    const end = byteLength - 4 * 300;
    const packedEnd = byteLength - bytesOf(300, wire);
    reducer.add(end, PACKED, 300);
    reducer.add(VALUES, packedEnd, 300);
    for (const [values, packed] of [
      [end + 4, PACKED],
      [VALUES, packedEnd + 1],
    ] as const) {
      expect(clusterCodeOf(() => reducer.add(values, packed, 300))).toBe("argument_invalid");
    }
  });

  test("refuses places outside of the memory, and values between two", () => {
    const { reducer } = bench;
    const feedback = { residual: RESIDUAL, nextResidual: NEXT };
    const bad: [number, number, number][] = [
      [-4, PACKED, 1],
      [VALUES + 1, PACKED, 1],
      [BYTES + 65_536, PACKED, 1],
      [VALUES, -1, 1],
      [VALUES, 2 ** 32, 1],
      [VALUES, 0.5, 1],
      [VALUES, PACKED, -1],
      [VALUES, PACKED, 1.5],
      [VALUES, PACKED, 2 ** 31],
    ];
    for (const [values, packed, elements] of bad) {
      for (const call of [
        () => reducer.pack(values, packed, elements, feedback),
        () => reducer.add(values, packed, elements),
        () => reducer.unpack(values, packed, elements),
      ]) {
        expect(clusterCodeOf(call)).toBe("argument_invalid");
      }
    }
  });
});

describe.each(WIRE_TYPES)("isPackedFinite, %s", (wire) => {
  const bench = benches[wire];
  const isSound = (elements: number): boolean =>
    bench.reducer.isPackedFinite(wire === "f32" ? VALUES : PACKED, elements);

  test("finds NaN and infinities at each place, and takes nothing else for one", () => {
    for (const [seed, length] of LENGTHS.entries()) {
      bench.pack(varied(length, seed));
      expect(isSound(length)).toBe(true);
    }
    for (const other of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let at = 0; at < 530; at++) {
        const values = plain(530, at);
        values[at] = other;
        bench.pack(values);
        expect(isSound(530)).toBe(false);
        // blocks of int8 are good or bad as a whole
        expect(isSound(wire === "int8" ? at - (at % BLOCK) : at)).toBe(true);
      }
    }
  });

  test("a scale that says more than there is, is not finite", () => {
    if (wire !== "int8") return;
    for (const length of [BLOCK, 7]) {
      for (const [scale, isGood] of [
        [2.6e36, true],
        [2.7e36, false],
        [-2.7e36, false],
      ] as const) {
        bench.pack(new Float32Array(length));
        new DataView(bench.reducer.memory.buffer).setFloat32(PACKED, scale, true);
        expect(isSound(length)).toBe(isGood);
      }
    }
  });

  test("refuses places outside of the memory", () => {
    const { reducer } = bench;
    for (const [at, elements] of [
      [-4, 1],
      [BYTES, 2 ** 30],
      [PACKED + 1, -1],
    ] as const)
      expect(clusterCodeOf(() => reducer.isPackedFinite(at, elements))).toBe("argument_invalid");
  });
});

describe("isFinite", () => {
  const { reducer } = benches.f32;

  test("finds NaN and infinities at each place, and takes nothing else for one", () => {
    const values = benches.f32.floats(VALUES, 530);
    values.set(Array.from({ length: 530 }, (_, i) => SPECIALS[i % SPECIALS.length] as number));
    values[77] = 3.4028234663852886e38;
    expect(reducer.isFinite(VALUES, 530)).toBe(true);
    for (const other of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let at = 0; at < 530; at++) {
        const kept = values[at] as number;
        values[at] = other;
        expect(reducer.isFinite(VALUES, 530)).toBe(false);
        expect(reducer.isFinite(VALUES, at)).toBe(true);
        values[at] = kept;
      }
    }
  });
});
