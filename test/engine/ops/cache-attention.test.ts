import { beforeAll, describe, expect, test } from "vitest";
import {
  type CacheAttentionOptions,
  cacheAttention,
  chainForest,
  compile,
  type Device,
  fromHalf,
  grad,
  type HostArray,
  type PackedHeads,
  packedAttention,
  State,
  slice,
  sum,
  type Tensor,
  tensor,
  toHalf,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/cache-attention.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { evaluate, KERNEL_CLASSES, type KernelClass } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** Slots and positions of rows. */
type Places = Pick<oracle.Rows, "slots" | "positions">;

interface Case {
  readonly name: string;
  readonly slots: number;
  readonly positions: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly rows: Places;
  readonly options?: CacheAttentionOptions;
}

const NOWHERE = 0xffff_ffff;

/** Rows of one sequence, from a position on. */
function chunk(slot: number, first: number, count: number): Places {
  const positions = Array.from({ length: count }, (_, i) => first + i);
  return { slots: positions.map(() => slot), positions };
}

function joined(...all: readonly Places[]): Places {
  return {
    slots: all.flatMap(({ slots }) => [...Array.from(slots)]),
    positions: all.flatMap(({ positions }) => [...Array.from(positions)]),
  };
}

/** One row each of some sequences; some rows have no place. */
const RAGGED: Places = {
  slots: [2, 0, NOWHERE, 4, 1, 3, 9, 5, 1],
  positions: [7, 39, 3, 8, NOWHERE, 0, 1, 40, 22],
};
/** Rows of three sequences in no order. */
const MIXED: Places = {
  slots: [1, 4, 1, 0, 1, 4, 4, 1, 0, 4, 1],
  positions: [20, 9, 3, 30, 21, 7, 39, 22, 31, 8, 2],
};

/** Kernels are compiled for a head size, and this one compiles fastest. More rows than slots take another text. */
const SMALL = { slots: 5, positions: 40, heads: 8, kvHeads: 4, headDim: 8 };

const CASES: readonly Case[] = [
  { name: "one row at the start", ...SMALL, rows: chunk(3, 0, 1) },
  { name: "one row at the end", ...SMALL, rows: chunk(4, 39, 1) },
  { name: "ragged rows, some nowhere", ...SMALL, slots: 9, rows: RAGGED },
  { name: "ragged rows, as a chunk", ...SMALL, rows: RAGGED },
  { name: "a prompt", ...SMALL, rows: chunk(2, 0, 37) },
  { name: "chunks of two prompts", ...SMALL, rows: joined(chunk(4, 5, 17), chunk(0, 20, 13)) },
  { name: "rows in no order", ...SMALL, rows: MIXED },
  { name: "a scale", ...SMALL, rows: chunk(1, 30, 10), options: { scale: 0.9 } },
];

/** All of these have both a window and a cap: one more text. */
const LIMITED: readonly Case[] = [
  { name: "a window of one", options: { window: 1, softcap: 30 } },
  { name: "a window across tiles", options: { window: 70, softcap: 0.7 } },
  { name: "a window wider than all", options: { window: 1000, softcap: 5 } },
].map((at) => ({
  ...at,
  ...{ slots: 3, positions: 150, heads: 2, kvHeads: 2, headDim: 8 },
  rows: joined(chunk(0, 149, 1), chunk(1, 2, 6), chunk(0, 90, 3), chunk(2, 64, 1)),
}));

/** Other head sizes, and query heads that do not divide among workgroups: a text each, so each by one class of kernels. */
const SIZES: readonly (Case & { readonly kernels: KernelClass })[] = [
  { headDim: 32, heads: 2, kvHeads: 2, kernels: "software" as const },
  { headDim: 128, heads: 3, kvHeads: 1, kernels: "software" as const },
  { headDim: 64, heads: 2, kvHeads: 1, kernels: "hardware" as const },
  { headDim: 80, heads: 2, kvHeads: 2, kernels: "hardware" as const },
  { headDim: 256, heads: 3, kvHeads: 1, kernels: "hardware" as const },
].map((at) => ({
  ...at,
  ...{ name: `head size ${at.headDim}`, slots: 4, positions: 80 },
  rows: { slots: [1, NOWHERE, 3, 0], positions: [79, 0, 20, 64] },
}));

/** So many positions that hardware shares them out over workgroups: 448 each. */
const LONG: readonly Case[] = [
  { name: "rows that see all", options: { window: 5000 } },
  { name: "rows that see the last positions only", options: { window: 500 } },
].map((at) => ({
  ...at,
  ...{ slots: 2, positions: 1200, heads: 1, kvHeads: 1, headDim: 8 },
  rows: { slots: [0, 1, 1, NOWHERE, 1, 1], positions: [1199, 3, 447, 0, 448, 950] },
}));

interface Data {
  readonly shape: oracle.CacheAttentionShape;
  readonly rows: oracle.Rows & { readonly qkv: Float32Array<ArrayBuffer> };
  readonly cache: Float32Array<ArrayBuffer>;
}

function dataOf(at: Case): Data {
  const { slots, positions, heads, kvHeads, headDim, rows, options } = at;
  const count = rows.slots.length;
  const { floats } = randoms(count * heads + headDim);
  const { scale = 1 / Math.sqrt(headDim), window = 0, softcap = 0 } = options ?? {};
  return {
    shape: { slots, positions, heads, kvHeads, headDim, scale, window, softcap },
    rows: { ...rows, qkv: floats(count * (heads + 2 * kvHeads) * headDim, -1.5, 1.5) },
    cache: floats(slots * positions * 2 * kvHeads * headDim, -1.5, 1.5),
  };
}

type CacheSizes = Pick<Case, "slots" | "positions" | "kvHeads" | "headDim">;

function cacheOf({ slots, positions, kvHeads, headDim }: CacheSizes, data: HostArray): State {
  return new State(
    [slots, positions, 2 * kvHeads * headDim],
    data instanceof Uint16Array ? "f16" : "f32",
    data,
    "cache",
  );
}

/** Rows attend to a cache. */
async function attend(
  cache: State,
  heads: PackedHeads,
  { qkv, slots, positions }: Data["rows"],
  options?: CacheAttentionOptions,
  kernels?: KernelClass,
): Promise<Float32Array> {
  const count = slots.length;
  const places = (x: ArrayLike<number>): Tensor => tensor(Uint32Array.from(x), [count]);
  const { values } = await evaluate(
    gpu,
    () => ({
      out: cacheAttention(
        tensor(qkv, [count, qkv.length / count]),
        cache,
        { slots: places(slots), positions: places(positions) },
        heads,
        options,
      ),
    }),
    kernels,
  );
  return values.out as Float32Array;
}

/** Compares results, and the cache afterwards, with f64. */
async function check(at: Case, kernels: KernelClass): Promise<void> {
  const { shape, rows, cache: before } = dataOf(at);
  using cache = cacheOf(at, before);
  const out = await attend(cache, at, rows, at.options, kernels);
  const written = oracle.cacheWrite(shape, before, rows);
  expect(await cache.read()).toEqual(Float32Array.from(written));
  expectClose(out, oracle.cacheAttention(shape, written, rows), TOLERANCES.row);
}

/** Rows `first` to `end` of a matrix of so many columns. */
function rowsOf<A extends Float32Array>(matrix: A, columns: number, first: number, end: number): A {
  return matrix.slice(first * columns, end * columns) as A;
}

describe.each(KERNEL_CLASSES)("cacheAttention by %s kernels", (kernels) => {
  test.each(CASES)("agrees with f64 for $name", (at) => check(at, kernels));
  test.each(LIMITED)("agrees with f64 for $name, with a cap", (at) => check(at, kernels));

  test("agrees with f64 over a cache of f16", async () => {
    const at = { ...SMALL, name: "f16", slots: 9, heads: 4, rows: RAGGED };
    const { shape, rows, cache: data } = dataOf(at);
    const halves = Uint16Array.from(data, toHalf);
    using cache = cacheOf(at, halves);
    const out = await attend(cache, at, rows, undefined, kernels);
    const stored = (await cache.read()) as Uint16Array;
    const numbers = Float64Array.from(stored, fromHalf);
    const written = oracle.cacheWrite(shape, Array.from(halves, fromHalf), rows);
    // WGSL lets a driver round to the half on either side.
    expectClose(numbers, written, { abs: 2 ** -24, rel: 2 ** -10 });
    const marks = oracle.cacheWrite(shape, new Float64Array(data.length), {
      ...rows,
      qkv: rows.qkv.map(() => 1),
    });
    const untouched = (all: Uint16Array): Uint16Array => all.filter((_, i) => marks[i] === 0);
    expect(untouched(stored)).toEqual(untouched(halves));
    expectClose(out, oracle.cacheAttention(shape, numbers, rows), TOLERANCES.row);
  });

  const width = (SMALL.heads + 2 * SMALL.kvHeads) * SMALL.headDim;
  const outWidth = SMALL.heads * SMALL.headDim;

  test("gives a row the same bits alone, in company, and in another slot", async () => {
    const [length, first, positions] = [23, 50, 100];
    const { floats } = randoms(1);
    const size = positions * 2 * SMALL.kvHeads * SMALL.headDim;
    const data = floats(SMALL.slots * size);
    data.copyWithin(3 * size, size, 2 * size);
    using cache = cacheOf({ ...SMALL, positions }, data);
    const run = (places: Places, qkv: Float32Array<ArrayBuffer>): Promise<Float32Array> =>
      attend(cache, SMALL, { ...places, qkv }, { scale: 0.4 }, kernels);
    const qkv = floats(length * width);
    const together = await run(chunk(1, first, length), qkv);
    for (let i = 0; i < length; i++) {
      const alone = await run(chunk(3, first + i, 1), rowsOf(qkv, width, i, i + 1));
      expect(alone, `row ${i}`).toEqual(rowsOf(together, outWidth, i, i + 1));
    }
    const company = {
      slots: [0, 3, 2, 3, 4, 2],
      positions: [99, first + length - 1, 4, first + length, 63, 90],
    };
    const others = floats(company.slots.length * width);
    others.set(rowsOf(qkv, width, length - 1, length), width);
    const mixed = await run(company, others);
    expect(rowsOf(mixed, outWidth, 1, 2)).toEqual(rowsOf(together, outWidth, length - 1, length));
  });

  test("computes a prompt, then token by token, what packedAttention does at once", async () => {
    const [prompt, length] = [21, 27];
    const qkv = randoms(2).floats(length * width, -1.5, 1.5);
    const { values } = await evaluate(gpu, () => ({
      out: packedAttention(tensor(qkv, [length, width]), SMALL, chainForest([length])),
    }));
    using cache = cacheOf(SMALL, new Float32Array(SMALL.slots * SMALL.positions * 64));
    const out = new Float32Array(length * outWidth);
    for (let at = 0, end = prompt; at < length; at = end, end++) {
      const rows = { ...chunk(2, at, end - at), qkv: rowsOf(qkv, width, at, end) };
      out.set(await attend(cache, SMALL, rows, undefined, kernels), at * outWidth);
    }
    expectClose(out, values.out, { abs: 1e-6, rel: 1e-6 });
  });
});

describe("cacheAttention", () => {
  test.each(SIZES)("agrees with f64 for $name, by $kernels kernels", (at) => check(at, at.kernels));
  test.each(LONG)("agrees with f64 over spans for $name", (at) => check(at, "hardware"));

  const layout = { heads: 2, kvHeads: 1, headDim: 8 };
  const cacheShape = [2, 5, 16];
  const places = { slots: tensor(Uint32Array.of(0, 1)), positions: tensor(Uint32Array.of(0, 4)) };
  const qkv = tensor(randoms(3).floats(64), [2, 32]);

  test("reads columns of a wider matrix in place", async () => {
    const matrix = tensor(randoms(4).floats(2 * 48), [2, 48]);
    using cache = new State(cacheShape, "f32", 0, "cache");
    const { values, kernels } = await evaluate(gpu, () => {
      const columns = slice(matrix, 1, 8, 40);
      return { columns, out: cacheAttention(columns, cache, places, layout) };
    });
    expect(kernels.filter((label) => label.includes("cache"))).toHaveLength(2);
    using other = new State(cacheShape, "f32", 0, "cache");
    const alone = tensor(values.columns as Float32Array<ArrayBuffer>, [2, 32]);
    const plain = await evaluate(gpu, () => ({
      out: cacheAttention(alone, other, places, layout),
    }));
    expect(values.out).toEqual(plain.values.out);
    expect(await cache.read()).toEqual(await other.read());
  });

  test("is an error outside of compile, and twice on one cache", async () => {
    using cache = new State(cacheShape, "f32", 0, "cache");
    expect(codeOf(() => cacheAttention(qkv, cache, places, layout))).toBe("state_conflict");
    const twice = compile(() => {
      cacheAttention(qkv, cache, places, layout);
      return cacheAttention(qkv, cache, places, layout);
    });
    expect(await rejectionOf(twice())).toBe("state_conflict");
  });

  test("refuses operands that do not fit together", async () => {
    const refusal = async (
      at: { readonly heads?: number; readonly dtype?: "f32" | "u32"; readonly shape?: number[] },
      rows = places,
    ): Promise<string> => {
      using cache = new State(at.shape ?? cacheShape, at.dtype ?? "f32", 0, "cache");
      const run = compile(() => cacheAttention(qkv, cache, rows, { ...layout, ...at }));
      return rejectionOf(run());
    };
    expect(await refusal({ heads: 3 })).toBe("shape_mismatch");
    expect(await refusal({ shape: [2, 5, 32] })).toBe("shape_mismatch");
    expect(await refusal({ shape: [10, 16] })).toBe("shape_mismatch");
    expect(await refusal({ dtype: "u32" })).toBe("dtype_mismatch");
    expect(await refusal({}, { ...places, slots: tensor(Uint32Array.of(0)) })).toBe(
      "shape_mismatch",
    );
    expect(await refusal({}, { ...places, slots: tensor([0, 1]) })).toBe("dtype_mismatch");
  });

  test("has no gradient", async () => {
    using cache = new State(cacheShape, "f32", 0, "cache");
    using weight = new State([2, 32], "f32", 1, "weight", true);
    const run = compile(() => grad(sum(cacheAttention(weight, cache, places, layout)), [weight]));
    expect(await rejectionOf(run())).toBe("gradient_missing");
  });
});
