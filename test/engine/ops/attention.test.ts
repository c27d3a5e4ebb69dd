import { beforeAll, describe, expect, test } from "vitest";
import {
  attention,
  compile,
  type Device,
  packedAttention,
  slice,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import * as oracle from "../../reference/attention.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES, type KernelClass } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

interface Case {
  readonly name: string;
  readonly forest: oracle.Forest;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim?: number;
  readonly window?: number;
  readonly softcap?: number;
  readonly scale?: number;
}

const { next: random } = randoms(5);
const chain = (...lengths: number[]): oracle.Forest => oracle.chainForest(lengths);
const trees = (tokens: number, stay?: number, fresh?: number): oracle.Forest =>
  oracle.randomForest(tokens, random, stay, fresh);

/** Head size of most cases: kernels are compiled for a head size, and this one compiles fastest. */
const HEAD_DIM = 8;

const CASES: readonly Case[] = [
  { name: "one token", forest: chain(1), heads: 2, kvHeads: 2 },
  { name: "a chain of a tile less one", forest: chain(31), heads: 1, kvHeads: 1 },
  { name: "a chain of a tile", forest: chain(32), heads: 1, kvHeads: 1 },
  { name: "a chain of a tile and one", forest: chain(33), heads: 1, kvHeads: 1 },
  { name: "a chain of blocks less one", forest: chain(127), heads: 1, kvHeads: 1 },
  { name: "packed sequences", forest: chain(33, 1, 64, 7, 2, 31), heads: 2, kvHeads: 1 },
  { name: "sequences of one token", forest: chain(...Array(37).fill(1)), heads: 2, kvHeads: 1 },
  { name: "trees, a key head a query head", forest: trees(121), heads: 8, kvHeads: 8 },
  { name: "trees, a key head for two query heads", forest: trees(122), heads: 8, kvHeads: 4 },
  { name: "trees, a key head for four query heads", forest: trees(124), heads: 8, kvHeads: 2 },
  { name: "trees, a key head for eight query heads", forest: trees(128), heads: 8, kvHeads: 1 },
  { name: "deep trees, six query heads", forest: trees(150, 0.97, 0.01), heads: 6, kvHeads: 3 },
  { name: "bushes", forest: trees(90, 0.3, 0.1), heads: 2, kvHeads: 1 },
  { name: "a scale", forest: trees(40), heads: 1, kvHeads: 1, scale: 0.7 },
];

/** All of these have both a window and a cap: one more text of each kernel. */
const LIMITED: readonly Case[] = [
  { name: "a window of one", forest: trees(100, 0.97, 0.01), window: 1, softcap: 30 },
  { name: "a window across blocks", forest: trees(200, 0.97, 0.01), window: 40, softcap: 0.7 },
  { name: "a window of nine on chains", forest: chain(150, 20, 40), window: 9, softcap: 1.5 },
  { name: "a window wider than all", forest: chain(90), window: 1000, softcap: 5 },
].map((limits) => ({ heads: 4, kvHeads: 2, ...limits }));

/** Other head sizes, once each; a window alone, and a cap alone. */
const SIZES: readonly Case[] = [
  { name: "head size 16, a window", headDim: 16, window: 7 },
  { name: "head size 64, a cap", headDim: 64, softcap: 2 },
  { name: "head size 128", headDim: 128 },
].map((size) => ({ forest: trees(70), heads: 2, kvHeads: 1, ...size }));

interface Data {
  readonly shape: oracle.AttentionShape;
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** What the gradient of the output is. */
  readonly dout: Float32Array;
}

function dataOf(at: Case): Data {
  const { forest, heads, kvHeads, headDim = HEAD_DIM } = at;
  const tokens = forest.end.length;
  const { scale = 1 / Math.sqrt(headDim), window = 0, softcap = 0 } = at;
  const { floats } = randoms(tokens * heads + headDim);
  const [queries, keys] = [tokens * heads * headDim, tokens * kvHeads * headDim];
  return {
    shape: { heads, kvHeads, headDim, scale, window, softcap },
    q: floats(queries, -1.5, 1.5),
    k: floats(keys, -1.5, 1.5),
    v: floats(keys, -1.5, 1.5),
    dout: floats(queries, -1.5, 1.5),
  };
}

function optionsOf({ forest, scale, window, softcap }: Case): Parameters<typeof attention>[3] {
  return {
    end: tensor(forest.end as Uint32Array<ArrayBuffer>, [forest.end.length]),
    depth: tensor(forest.depth as Uint32Array<ArrayBuffer>, [forest.depth.length]),
    ...(scale === undefined ? {} : { scale }),
    ...(window === undefined ? {} : { window }),
    ...(softcap === undefined ? {} : { softcap }),
  };
}

function tensorsOf(at: Case, { q, k, v }: Data): [Tensor, Tensor, Tensor] {
  const { heads, kvHeads, headDim = HEAD_DIM } = at;
  const tokens = at.forest.end.length;
  const [query, key] = [
    [tokens, heads, headDim],
    [tokens, kvHeads, headDim],
  ];
  return [tensor(q, query), tensor(k, key), tensor(v, key)];
}

/** Compares output and gradients of a case with f64. */
async function check(at: Case, kernels: KernelClass): Promise<void> {
  const data = dataOf(at);
  const [q, k, v] = tensorsOf(at, data);
  const { values } = await evaluate(
    gpu,
    () => {
      const out = attention(q, k, v, optionsOf(at));
      const [dq, dk, dv] = gradients([[out, data.dout]], [q, k, v]);
      return { out, dq, dk, dv };
    },
    kernels,
  );
  const { out } = oracle.attention(data.shape, at.forest, data);
  const { dq, dk, dv } = oracle.attentionBackward(data.shape, at.forest, data, data.dout);
  expectClose(values.out, out, TOLERANCES.row, "out");
  expectClose(values.dq, dq, TOLERANCES.rowGradient, "dq");
  expectClose(values.dk, dk, TOLERANCES.rowGradient, "dk");
  expectClose(values.dv, dv, TOLERANCES.rowGradient, "dv");
}

describe.each(KERNEL_CLASSES)("attention by %s kernels", (kernels) => {
  test.each(CASES)("agrees with f64 for $name", (at) => check(at, kernels));
  test.each(LIMITED)("agrees with f64 for $name, with a cap", (at) => check(at, kernels));
});

describe("attention", () => {
  test.each(SIZES)("agrees with f64 for $name", (at) => check(at, ownClass()));

  test("agrees with f64 for head size 256", async () => {
    const at = { name: "256", forest: trees(40), heads: 2, kvHeads: 1, headDim: 256 };
    const data = dataOf(at);
    const { values } = await evaluate(gpu, () => ({
      out: attention(...tensorsOf(at, data), optionsOf(at)),
    }));
    const { out } = oracle.attention(data.shape, at.forest, data);
    expectClose(values.out, out, TOLERANCES.row);
  });

  test("has memory in proportion to the tokens, forward and backward", async () => {
    const bytes = async (tokens: number): Promise<number> => {
      const at = { name: "long", forest: chain(tokens), heads: 1, kvHeads: 1 };
      const data = dataOf(at);
      const [q, k, v] = tensorsOf(at, data);
      using run = compile(() =>
        gradients([[attention(q, k, v, optionsOf(at)), data.dout]], [q, k, v]),
      );
      return (await run.describe()).memory.temporary;
    };
    expect(await bytes(2048)).toBeLessThan(2.1 * (await bytes(1024)));
  });
});

/** The class of this adapter. */
function ownClass(): KernelClass {
  return gpu.isSoftware ? "software" : "hardware";
}

describe("packedAttention", () => {
  const at = { name: "packed", forest: trees(70), heads: 4, kvHeads: 2 };
  const [queries, keys] = [at.heads * HEAD_DIM, at.kvHeads * HEAD_DIM];
  const width = queries + 2 * keys;
  const [BEFORE, AFTER] = [4, 12];
  const tokens = at.forest.end.length;

  /** Rows of q, k and v side by side, with other columns around them. */
  function packed(parts: Record<"q" | "k" | "v", ArrayLike<number>>, around: number): Float32Array {
    const row = BEFORE + width + AFTER;
    const all = new Float32Array(tokens * row).fill(around);
    for (let t = 0; t < tokens; t++) {
      const start = t * row + BEFORE;
      const { q, k, v } = parts;
      for (let i = 0; i < queries; i++) all[start + i] = Number(q[t * queries + i]);
      for (let i = 0; i < keys; i++) {
        all[start + queries + i] = Number(k[t * keys + i]);
        all[start + queries + keys + i] = Number(v[t * keys + i]);
      }
    }
    return all;
  }

  test.each(KERNEL_CLASSES)(
    "reads columns of a wider matrix in place, by %s kernels",
    async (kernels) => {
      const data = dataOf(at);
      const matrix = tensor(packed(data, 99), [tokens, BEFORE + width + AFTER]);
      const { values, kernels: labels } = await evaluate(
        gpu,
        () => {
          const qkv = slice(matrix, 1, BEFORE, BEFORE + width);
          const out = packedAttention(qkv, { ...at, headDim: HEAD_DIM }, optionsOf(at));
          const [dmatrix] = gradients([[out, data.dout]], [matrix]);
          return { out, dmatrix };
        },
        kernels,
      );
      expect(labels.filter((l) => l.includes("copy"))).toEqual([]);
      const { out } = oracle.attention(data.shape, at.forest, data);
      const back = oracle.attentionBackward(data.shape, at.forest, data, data.dout);
      const dmatrix = packed({ q: back.dq, k: back.dk, v: back.dv }, 0);
      expectClose(values.out, out, TOLERANCES.row, "out");
      expectClose(values.dmatrix, dmatrix, TOLERANCES.rowGradient, "dmatrix");
    },
  );

  test("equals attention over the same columns as three tensors, bit for bit", async () => {
    const data = dataOf(at);
    const matrix = tensor(packed(data, 99), [tokens, BEFORE + width + AFTER]);
    const columns = (from: number, heads: number): Tensor =>
      slice(matrix, 1, BEFORE + from, BEFORE + from + heads * HEAD_DIM).reshape([
        tokens,
        heads,
        HEAD_DIM,
      ]);
    const { values, kernels } = await evaluate(gpu, () => {
      const q = columns(0, at.heads);
      const [k, v] = [columns(queries, at.kvHeads), columns(queries + keys, at.kvHeads)];
      const qkv = slice(matrix, 1, BEFORE, BEFORE + width);
      return {
        three: attention(q, k, v, optionsOf(at)),
        one: packedAttention(qkv, { ...at, headDim: HEAD_DIM }, optionsOf(at)),
      };
    });
    expect(kernels.filter((l) => l.includes("copy"))).toEqual([]);
    expect(values.one).toEqual(values.three);
  });

  test("refuses a matrix that does not hold the heads", () => {
    const qkv = tensor(new Float32Array(8 * 40), [8, 40]);
    const options = optionsOf({ ...at, forest: chain(8) });
    const layout = { ...at, headDim: 16 };
    expect(codeOf(() => packedAttention(qkv, layout, options))).toBe("shape_mismatch");
  });
});

describe.each(KERNEL_CLASSES)("a malformed forest, by %s kernels", (kernels) => {
  const tokens = 75;
  const { integers } = randoms(11);
  const anything = (): Uint32Array<ArrayBuffer> =>
    Uint32Array.from(integers(tokens, -(2 ** 31), 2 ** 31 - 1));
  test.each([
    ["ends of zero", new Uint32Array(tokens)],
    ["ends beyond the tokens", new Uint32Array(tokens).fill(0xffff_ffff)],
    ["ends in any order", Uint32Array.from(integers(tokens, 0, 2 * tokens))],
    ["ends without sense", anything()],
  ])("gives numbers, and no hang, for %s", async (_name, end) => {
    const at = { name: "malformed", forest: chain(tokens), heads: 2, kvHeads: 1 };
    const data = dataOf(at);
    const [q, k, v] = tensorsOf(at, data);
    const depth = anything();
    const { values } = await evaluate(
      gpu,
      () => {
        const options = {
          ...optionsOf(at),
          end: tensor(end, [tokens]),
          depth: tensor(depth, [tokens]),
        };
        const plain = attention(q, k, v, options);
        const limited = attention(q, k, v, { ...options, window: 5, softcap: 2 });
        const [dq, dk, dv] = gradients([[plain.add(limited), data.dout]], [q, k, v]);
        return { plain, limited, dq, dk, dv };
      },
      kernels,
    );
    for (const [name, results] of Object.entries(values)) {
      expect(results.every(Number.isFinite), name).toBe(true);
    }
  });
});

describe("attention refuses", () => {
  const q = (tokens: number, heads: number, headDim: number): Tensor =>
    tensor(new Float32Array(tokens * heads * headDim), [tokens, heads, headDim]);
  const options = optionsOf({ name: "", forest: chain(8), heads: 1, kvHeads: 1 });
  test.each([
    ["keys of another length", q(8, 2, 16), q(9, 2, 16), q(9, 2, 16)],
    ["keys and values that differ", q(8, 2, 16), q(8, 2, 16), q(8, 1, 16)],
    ["another head size", q(8, 2, 16), q(8, 2, 8), q(8, 2, 8)],
    ["key heads that do not divide the query heads", q(8, 3, 16), q(8, 2, 16), q(8, 2, 16)],
    ["heads smaller than 8", q(8, 1, 4), q(8, 1, 4), q(8, 1, 4)],
    ["heads that are no multiple of 4", q(8, 1, 10), q(8, 1, 10), q(8, 1, 10)],
    ["heads larger than 256", q(8, 1, 260), q(8, 1, 260), q(8, 1, 260)],
    ["a forest of other tokens", q(7, 1, 16), q(7, 1, 16), q(7, 1, 16)],
    ["matrices", q(8, 1, 16).reshape([8, 16]), q(8, 1, 16), q(8, 1, 16)],
  ])("%s", (_name, query, key, value) => {
    expect(codeOf(() => attention(query, key, value, options))).toBe("shape_mismatch");
  });
});
