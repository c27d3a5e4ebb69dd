import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reducer } from "../../../cluster/ring/reducer.ts";
import { reducerModule } from "../../../cluster/ring/reducer-module.ts";
import { packScalar } from "../../../cluster/ring/scalar.ts";
import { allocateMemory } from "../../../cluster/ring/wasm.ts";
import { BLOCK, bytesOf, WIRE_TYPES, type WireType } from "../../../cluster/ring/wire-type.ts";
import { bf16, int8Block } from "../../reference/ring-sum.ts";
import { clusterCodeOf } from "../../support/cluster-errors.ts";
import { randoms } from "../../support/gpu.ts";

/** None, tails alone, whole blocks, whole blocks and a tail. */
const LENGTHS = [0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513, 1000, 2048, 4099];
const SPECIALS = [
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126,
  -1.1754942106924411e-38, // the greatest denormal
  1,
  -1,
  1 + 2 ** -8, // ties
  1 + 3 * 2 ** -8,
  -(1 + 2 ** -8),
  3.3895313892515355e38, // the greatest bf16
  -1e38,
];

/** Places of a memory for 8,192 elements each, and behind them a page that nobody may touch. */
const VALUES = 4096;
const RESIDUAL = VALUES + 4 * 8192;
const NEXT = RESIDUAL + 4 * 8192;
const PACKED = NEXT + 4 * 8192 + 3; // at no multiple of anything
const BYTES = PACKED + 4 * 8192 + 65_536;

class Bench {
  readonly reducer: Reducer;

  constructor(wire: WireType, isShared = false) {
    this.reducer = new Reducer(allocateMemory(BYTES, isShared), wire);
  }

  floats(at: number, count: number): Float32Array {
    return new Float32Array(this.reducer.memory.buffer, at, count);
  }

  packed(elements: number): Uint8Array {
    const length = bytesOf(elements, this.reducer.wire);
    return new Uint8Array(this.reducer.memory.buffer, PACKED, length);
  }

  /** What values are packed to. */
  pack(values: ArrayLike<number>, residual?: ArrayLike<number>): Uint8Array {
    this.floats(VALUES, values.length).set(values);
    this.floats(RESIDUAL, values.length)
      .fill(0)
      .set(residual ?? []);
    const feedback = { residual: RESIDUAL, nextResidual: NEXT };
    this.reducer.pack(VALUES, PACKED, values.length, feedback);
    return this.packed(values.length).slice();
  }

  unpack(packed: Uint8Array, elements: number): Float32Array {
    this.packed(elements).set(packed);
    this.reducer.unpack(VALUES, PACKED, elements);
    return this.floats(VALUES, elements).slice();
  }

  add(packed: Uint8Array, own: ArrayLike<number>): Float32Array {
    this.packed(own.length).set(packed);
    this.floats(VALUES, own.length).set(own);
    this.reducer.add(VALUES, PACKED, own.length);
    return this.floats(VALUES, own.length).slice();
  }
}

const benches = Object.fromEntries(WIRE_TYPES.map((wire) => [wire, new Bench(wire)])) as Record<
  WireType,
  Bench
>;

/** Numbers of all sizes, with all that is special among them. */
function varied(count: number, seed: number): Float32Array {
  const random = randoms(seed);
  return Float32Array.from({ length: count }, () => {
    const special = SPECIALS[Math.floor(random.next() * 3 * SPECIALS.length)];
    return special ?? (random.next() - 0.5) * 2 ** (random.next() * 200 - 100);
  });
}

/** Numbers of one size, as gradients are. */
function plain(count: number, seed: number): Float32Array {
  return randoms(seed).floats(count);
}

function bitsOf(values: ArrayLike<number>): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

function blocksOf(values: Float32Array): number[][] {
  const count = Math.ceil(values.length / BLOCK);
  return Array.from({ length: count }, (_, b) => [...values.slice(b * BLOCK, (b + 1) * BLOCK)]);
}

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
    const shared = new Bench(wire, true);
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
    const others = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const other of others) {
      for (const length of [256, 100, 300]) {
        for (const at of [0, 5, 99, length - 1]) {
          const values = plain(length, at);
          values[at] = other;
          const read = bench.unpack(bench.pack(values), length);
          expect(Number.isFinite(read[at])).toBe(false);
          expect(bench.reducer.isFinite(VALUES, length)).toBe(false);
        }
      }
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

  test("of a block too small for a scale nothing arrives and nothing is lost", () => {
    const values = Float32Array.from({ length: BLOCK }, (_, i) => (i % 60) * 2 ** -149);
    const read = int8.unpack(int8.pack(values), BLOCK);
    expect(read.every((x) => x === 0)).toBe(true);
    expect([...int8.floats(NEXT, BLOCK)]).toEqual([...values]);
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
