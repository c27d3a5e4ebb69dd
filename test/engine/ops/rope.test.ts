import { beforeAll, describe, expect, it } from "vitest";
import { arange, type Device, type RopeOptions, rope, tensor } from "../../../engine/index.ts";
import { ropeFrequencies } from "../../../engine/ops/rope-frequencies.ts";
import * as oracle from "../../reference/rope.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { columns } from "../../support/row-cases.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

interface Case {
  readonly name: string;
  readonly shape: readonly [tokens: number, heads: number, headSize: number];
  readonly options?: RopeOptions;
  /** Position of the first token. Default 0. */
  readonly start?: number;
}

const LLAMA3 = {
  kind: "llama3",
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalContext: 8192,
} as const;

const CASES: readonly Case[] = [
  { name: "the smallest head", shape: [1, 1, 2] },
  { name: "odd pairs", shape: [3, 2, 6], start: 5 },
  { name: "whole vectors", shape: [9, 3, 64], options: { theta: 500_000 } },
  { name: "a part of each head", shape: [5, 2, 16], options: { rotaryDim: 8 } },
  { name: "a part that is no vector", shape: [5, 2, 10], options: { rotaryDim: 6 } },
  { name: "interleaved pairs", shape: [5, 2, 16], options: { isInterleaved: true } },
  { name: "odd interleaved pairs", shape: [3, 2, 6], options: { isInterleaved: true } },
  { name: "positions of a million", shape: [4, 1, 64], start: 1_000_000 },
  { name: "positions near 2^31", shape: [4, 1, 64], start: 2 ** 31 - 9 },
  {
    name: "linear scaling and a factor",
    shape: [3, 2, 8],
    options: { scaling: { kind: "linear", factor: 4 }, scale: 1.25 },
    start: 100,
  },
  {
    name: "llama 3 scaling",
    shape: [3, 2, 64],
    options: { theta: 500_000, scaling: LLAMA3 },
    start: 9000,
  },
  { name: "some of the heads", shape: [5, 5, 8], options: { heads: 3 } },
];

/** What the options turn: heads from `heads` on are copied. */
function expected(turn: typeof oracle.rope, x: Float32Array, at: Case): Float64Array {
  const [tokens, heads, headSize] = at.shape;
  const { rotaryDim = headSize, theta = 10_000, scaling, heads: turned = heads } = at.options ?? {};
  const { isInterleaved = false, scale = 1 } = at.options ?? {};
  const all = turn({
    tokens,
    heads,
    headSize,
    x,
    positions: Array.from({ length: tokens }, (_, t) => (at.start ?? 0) + t),
    frequencies: ropeFrequencies({ rotarySize: rotaryDim, theta, ...(scaling ? { scaling } : {}) }),
    isInterleaved,
    scale,
  });
  return all.map((v, i) => (Math.floor(i / headSize) % heads < turned ? v : Number(x[i])));
}

/** Sine and cosine are within 3e-7, whatever the position; two products of numbers up to 1 are added. */
const tolerance = { abs: 2e-6, rel: 0 };

describe.each(KERNEL_CLASSES)("rope by %s kernels", (kernels) => {
  it.each(CASES)("agrees with f64 for $name", async (at) => {
    const size = at.shape.reduce((n, s) => n * s, 1);
    const random = randoms(size);
    const [x, dy] = [random.floats(size), random.floats(size)];
    const { values } = await evaluate(
      gpu,
      () => {
        const input = tensor(x, at.shape);
        const positions = arange(at.shape[0]).add(at.start ?? 0);
        const y = rope(input, positions, at.options);
        return { y, dx: gradients([[y, dy]], [input])[0] };
      },
      kernels,
    );
    expectClose(values.y, expected(oracle.rope, x, at), tolerance, "y");
    expectClose(values.dx, expected(oracle.ropeBackward, dy, at), tolerance, "dx");
  });
});

describe("rope", () => {
  it.each([
    [4, 8],
    [3, 2],
  ])("reads heads in place that lie between %i and %i other columns", async (before, after) => {
    const at = { name: "", shape: [6, 2, 8] } as const;
    const x = randoms(4).floats(96);
    const positions = new Int32Array([0, 1, 2, 3, 4, 5]);
    const { values, kernels } = await evaluate(gpu, () => ({
      y: rope(columns(x, [6, 16], { before, after }).reshape([6, 2, 8]), tensor(positions)),
    }));
    expectClose(values.y, expected(oracle.rope, x, at), tolerance);
    expect(kernels).toEqual(["rope.wgsl:rope"]);
  });

  it("keeps the length of every pair, and turns nothing at position 0", async () => {
    const x = randoms(9).floats(2 * 8);
    const positions = new Uint32Array([0, 12_345]);
    const { values } = await evaluate(gpu, () => ({
      y: rope(tensor(x, [2, 1, 8]), tensor(positions)),
    }));
    expect([...values.y.subarray(0, 8)]).toEqual([...x.subarray(0, 8)]);
    const lengths = (v: ArrayLike<number>) =>
      [8, 9, 10, 11].map((i) => Math.hypot(v[i] as number, v[i + 4] as number));
    expectClose(lengths(values.y), lengths(x), tolerance);
  });

  it("refuses operands that do not fit", () => {
    const x = tensor(new Float32Array(12), [2, 1, 6]);
    expect(codeOf(() => rope(tensor([[1, 2]]), arange(1)))).toBe("rank_mismatch");
    expect(codeOf(() => rope(x, arange(3)))).toBe("shape_mismatch");
    expect(codeOf(() => rope(x, arange(2), { rotaryDim: 8 }))).toBe("shape_mismatch");
    expect(codeOf(() => rope(x, arange(2), { heads: 2 }))).toBe("shape_mismatch");
    expect(codeOf(() => rope(x, arange(2), { rotaryDim: 3 }))).toBe("argument_invalid");
    expect(codeOf(() => rope(x, tensor([0, 1])))).toBe("dtype_mismatch");
  });
});
