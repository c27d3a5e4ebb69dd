import { beforeAll, describe, expect, it } from "vitest";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import type { Device } from "../../../engine/index.ts";
import { packBf16, packInt8 } from "../../../engine/optim/optimizer-kernels.ts";
import { bf16, int8Block } from "../../reference/ring-sum.ts";
import { KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { runKernel } from "../../support/kernel.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

/** Stays where nothing is packed. */
const UNTOUCHED = 0xdeadbeef;

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

function floats(patterns: ArrayLike<number>): Float32Array {
  return new Float32Array(Uint32Array.from(patterns).buffer);
}

describe.each(KERNEL_CLASSES)("packing by %s kernels", (kernels) => {
  const facts = { isSoftware: kernels === "software", subgroupSize: undefined };

  async function asBf16(source: Float32Array, from: number, to: number): Promise<Uint16Array> {
    const dispatch = packBf16(facts, { from, to });
    const packed = new Uint32Array(source.length / 2).fill(UNTOUCHED);
    const { bindings } = await runKernel(gpu, {
      ...{ ...dispatch, source: shaderSource(dispatch.name) },
      bindings: [source, packed],
    });
    const all = bindings[1] as Uint32Array;
    const outside = [...all.subarray(0, from / 2), ...all.subarray(to / 2)];
    expect(outside.every((word) => word === UNTOUCHED)).toBe(true);
    return new Uint16Array(all.buffer).slice(from, to);
  }

  it.each([
    { count: 64, from: 0, to: 64 },
    { count: 2048, from: 256, to: 1088 },
    { count: 70_016, from: 0, to: 70_016 },
  ])("round $count numbers from $from to $to to bf16 as the oracle does", async (part) => {
    const { count, from, to } = part;
    const random = randoms(count);
    const source = Float32Array.from(
      { length: count },
      () => (random.next() - 0.5) * 2 ** Math.floor(250 * random.next() - 125),
    );
    const packed = await asBf16(source, from, to);
    const read = floats(Array.from(packed, (half) => half << 16));
    expect([...read]).toEqual([...source.subarray(from, to)].map(bf16));
  });

  it("round ties to even, carry into the exponent, and keep what is no number", async () => {
    const patterns = [
      ...[0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x3fffffff, 0x80008000, 0x00018000],
      ...[0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0xffffffff, 0x80000000],
    ];
    const source = floats([...patterns, ...new Array(64 - patterns.length).fill(0)]);
    const packed = await asBf16(source, 0, 64);
    expect([...packed.subarray(0, patterns.length)]).toEqual([
      ...[0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x4000, 0x8000, 0x0002],
      ...[0x7f80, 0x7f80, 0xff80, 0x7fc0, 0x7fc0, 0x8000],
    ]);
  });

  interface Packed {
    readonly scales: readonly number[];
    readonly quotients: readonly number[];
    readonly residual: Float32Array;
  }

  async function asInt8(
    source: Float32Array,
    before: Float32Array,
    range: { readonly from: number; readonly to: number },
  ): Promise<Packed> {
    const dispatch = packInt8(facts, range, source.length);
    const words = source.length / 4 + Math.ceil(source.length / 256);
    const { bindings } = await runKernel(gpu, {
      ...{ ...dispatch, source: shaderSource(dispatch.name) },
      bindings: [source, before, new Uint32Array(words).fill(UNTOUCHED)],
    });
    const [, residual, packed] = bindings as [Float32Array, Float32Array, Uint32Array];
    const [first, last] = [range.from, range.to].map((at) => at / 4 + Math.ceil(at / 256));
    const outside = [...packed.subarray(0, first), ...packed.subarray(last)];
    expect(outside.every((word) => word === UNTOUCHED)).toBe(true);
    const bytes = new DataView(packed.buffer);
    const scales: number[] = [];
    const quotients: number[] = [];
    for (let i = range.from; i < range.to; i++) {
      const block = Math.floor(i / 256);
      if (i % 256 === 0) scales.push(bytes.getFloat32(260 * block, true));
      quotients.push(bytes.getInt8(260 * block + 4 + (i % 256)));
    }
    return { scales, quotients, residual };
  }

  it.each([
    { count: 64, from: 0, to: 64 },
    { count: 256, from: 0, to: 256 },
    { count: 2752, from: 512, to: 2752 },
    { count: 2752, from: 256, to: 2048 },
  ])("scale blocks of $count numbers from $from to $to, and keep what is lost", async (part) => {
    const { count, from, to } = part;
    const random = randoms(count + from);
    const source = random.floats(count, -3, 3);
    source.fill(0, from, from + 32);
    const before = random.floats(count, -0.01, 0.01);
    const { scales, quotients, residual } = await asInt8(source, before, { from, to });
    for (let block = from; block < to; block += 256) {
      const end = Math.min(block + 256, to);
      const values = [...source.subarray(block, end)].map((x, i) =>
        Math.fround(x + (before[block + i] as number)),
      );
      const expected = int8Block(values);
      const scale = scales[(block - from) / 256] as number;
      expectClose([scale], [expected.scale], TOLERANCES.division, "scale");
      for (const [i, x] of values.entries()) {
        const q = quotients[block - from + i] as number;
        expect(Math.abs(x - q * scale)).toBeLessThanOrEqual(scale * 0.5000001);
        const lost = residual[block + i] as number;
        expect(Math.abs(lost - (x - q * scale))).toBeLessThanOrEqual(2 ** -22 * Math.abs(x));
      }
      // off by one where the scale's last digit makes a tie of it
      const moved = expected.quotients.filter((q, i) => q !== quotients[block - from + i]);
      expect(moved.length).toBeLessThanOrEqual(2);
    }
    const isOutside = (i: number): boolean => i < from || i >= to;
    expect([...residual].filter((_, i) => isOutside(i))).toEqual(
      [...before].filter((_, i) => isOutside(i)),
    );
  });

  it("say of a block that is not finite that it is not, and of zeros that they are", async () => {
    const source = new Float32Array(1024);
    source[300] = Number.NaN;
    source[700] = Number.NEGATIVE_INFINITY;
    const { scales, quotients, residual } = await asInt8(source, new Float32Array(1024), {
      ...{ from: 0, to: 1024 },
    });
    expect(scales).toEqual([0, Number.NaN, Number.NaN, 0]);
    expect(quotients.slice(0, 256).every((q) => q === 0)).toBe(true);
    expect([...residual.subarray(0, 256)].every((r) => r === 0)).toBe(true);
  });
});
