import { beforeAll, describe, expect, test } from "vitest";
import {
  type CacheAttentionOptions,
  cacheAttention,
  type Device,
  State,
  tensor,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/cache-attention.ts";
import { evaluate, KERNEL_CLASSES, type KernelClass } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

interface Case {
  readonly name: string;
  readonly slots: number;
  readonly positions: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Slot and position of each row. */
  readonly rows: readonly (readonly [number, number])[];
  readonly options?: CacheAttentionOptions;
}

/** Rows of one sequence: positions from `first` on. */
function chunk(slot: number, first: number, count: number): [number, number][] {
  return Array.from({ length: count }, (_, i) => [slot, first + i]);
}

const NOWHERE = 0xffff_ffff;
const small = { slots: 5, positions: 40, heads: 8, kvHeads: 4, headDim: 8 };

const CASES: readonly Case[] = [
  { name: "one row at the start", ...small, rows: [[3, 0]] },
  { name: "one row at the end", ...small, rows: [[4, 39]] },
  {
    name: "ragged rows, some without a place",
    ...small,
    rows: [
      [2, 7],
      [0, 39],
      [NOWHERE, 3],
      [4, 8],
      [1, NOWHERE],
      [3, 0],
      [5, 1],
      [1, 22],
    ],
  },
  { name: "a prompt", ...small, rows: chunk(2, 0, 37) },
  { name: "chunks of two sequences", ...small, rows: [...chunk(4, 5, 17), ...chunk(0, 20, 13)] },
];

interface Data {
  readonly shape: oracle.CacheAttentionShape;
  readonly rows: oracle.Rows & { readonly qkv: Float32Array };
  readonly cache: Float32Array;
}

function dataOf(at: Case): Data {
  const { slots, positions, heads, kvHeads, headDim, rows, options } = at;
  const { floats } = randoms(rows.length * heads + headDim);
  const { scale = 1 / Math.sqrt(headDim), window = 0, softcap = 0 } = options ?? {};
  return {
    shape: { slots, positions, heads, kvHeads, headDim, scale, window, softcap },
    rows: {
      qkv: floats(rows.length * (heads + 2 * kvHeads) * headDim, -1.5, 1.5),
      slots: Uint32Array.from(rows, ([slot]) => slot),
      positions: Uint32Array.from(rows, ([, position]) => position),
    },
    cache: floats(slots * positions * 2 * kvHeads * headDim, -1.5, 1.5),
  };
}

/** Runs a case; the result and the cache afterwards. */
async function run(
  { shape, rows, cache }: Data,
  options: CacheAttentionOptions | undefined,
  kernels?: KernelClass,
): Promise<{ out: Float32Array; cache: Float32Array }> {
  const { slots, positions, heads, kvHeads, headDim } = shape;
  const count = rows.slots.length;
  using state = new State([slots, positions, 2 * kvHeads * headDim], "f32", cache, "cache");
  const place = (x: ArrayLike<number>) => tensor(Uint32Array.from(x), [count]);
  const { values } = await evaluate(
    gpu,
    () => ({
      out: cacheAttention(
        tensor(rows.qkv, [count, (heads + 2 * kvHeads) * headDim]),
        state,
        { slots: place(rows.slots), positions: place(rows.positions) },
        shape,
        options,
      ),
    }),
    kernels,
  );
  return { out: values.out as Float32Array, cache: (await state.read()) as Float32Array };
}

describe.each(KERNEL_CLASSES)("cacheAttention by %s kernels", (kernels) => {
  test.each(CASES)("agrees with f64 for $name", async (at) => {
    const data = dataOf(at);
    const { out, cache } = await run(data, at.options, kernels);
    const written = oracle.cacheWrite(data.shape, data.cache, data.rows);
    expect(cache).toEqual(Float32Array.from(written));
    expectClose(out, oracle.cacheAttention(data.shape, written, data.rows), TOLERANCES.row);
  });
});
