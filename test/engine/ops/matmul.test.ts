import { beforeAll, describe, expect, test } from "vitest";
import {
  cast,
  compile,
  type Device,
  fromHalf,
  grad,
  matmul,
  permute,
  reshape,
  slice,
  type Tensor,
  tensor,
  toHalf,
  transpose,
} from "../../../engine/index.ts";
import { array, count, expand, type NdArray } from "../../reference/array.ts";
import { alignMatmul, matmulArrays, matmulBackward } from "../../reference/matmul.ts";
import { codeOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const random = randoms(1);
const made = (...shape: number[]): NdArray => array(shape, random.floats(count(shape)));
const of = (x: NdArray): Tensor => tensor(Float32Array.from(x.data), x.shape);
/** The same values as a view of a tensor that is stored transposed. */
const turned = (x: NdArray): Tensor => {
  const [rows, cols] = x.shape as [number, number];
  const data = Array.from(
    { length: rows * cols },
    (_, i) => x.data[(i % rows) * cols + Math.floor(i / rows)] as number,
  );
  return transpose(tensor(Float32Array.from(data), [cols, rows]));
};

async function expectProduct(actual: Tensor, a: NdArray, b: NdArray, what?: string): Promise<void> {
  const expected = matmulArrays(a, b);
  expect(actual.shape).toEqual(expected.shape);
  expectClose(await actual.read(), expected.data, summed(a.shape.at(-1) as number), what);
}

describe("matmul", () => {
  test.each([
    [1, 1, 1],
    [1, 7, 5],
    [5, 1, 9],
    [3, 4, 1],
    [7, 9, 8],
    [16, 64, 16],
    [15, 60, 12],
    [17, 68, 20],
    [33, 31, 29],
    [25, 129, 7],
    [50, 72, 36],
  ])(
    "equals f64 for [%i, %i] from %i products, however the operands are stored",
    async (m, n, k) => {
      const [a, b] = [made(m, k), made(k, n)];
      await expectProduct(matmul(of(a), of(b)), a, b, "NN");
      await expectProduct(matmul(of(a), turned(b)), a, b, "NT");
      await expectProduct(matmul(turned(a), of(b)), a, b, "TN");
      await expectProduct(matmul(turned(a), turned(b)), a, b, "TT");
    },
  );

  test.each([
    ["one matrix for all", [2, 3, 4, 5], [5, 6]],
    ["a batch each", [3, 4, 5], [3, 5, 6]],
    ["a batch on the right only", [4, 5], [2, 3, 5, 6]],
    ["axes that repeat on either side", [2, 1, 4, 5], [3, 5, 6]],
    ["grouped heads", [2, 2, 1, 4, 8], [2, 1, 3, 8, 4]],
  ] as const)("broadcasts batches: %s", async (_name, left, right) => {
    const [a, b] = [made(...left), made(...right)];
    await expectProduct(matmul(of(a), of(b)), a, b);
  });

  test("reads heads out of [batch, time, heads, size] without a copy", async () => {
    const x = made(2, 6, 3, 4);
    const heads = permute(of(x), [0, 2, 1, 3]);
    const flat = array([2, 3, 6, 4], await heads.read());
    const across = array([2, 3, 4, 6], await transpose(heads).read());
    await expectProduct(matmul(heads, transpose(heads)), flat, across);
    using run = compile((t: Tensor) => {
      const h = permute(t, [0, 2, 1, 3]);
      return matmul(h, transpose(h));
    });
    const labels = (await run.describe(of(x))).kernels.map((k) => k.label);
    expect(labels.filter((l) => l.startsWith("map"))).toEqual([]);
  });

  test("reads rows and columns that are cut out, and any other layout through a copy", async () => {
    const [a, b] = [made(12, 20), made(20, 24)];
    const [left, right] = [
      slice(slice(of(a), 0, 2, 9), 1, 4, 16),
      slice(slice(of(b), 0, 4, 16), 1, 8, 20),
    ];
    const cut = (x: NdArray, r: number, rows: number, c: number, cols: number): NdArray =>
      array(
        [rows, cols],
        Array.from(
          { length: rows * cols },
          (_, i) =>
            x.data[(r + Math.floor(i / cols)) * (x.shape[1] as number) + c + (i % cols)] as number,
        ),
      );
    await expectProduct(matmul(left, right), cut(a, 2, 7, 4, 12), cut(b, 4, 12, 8, 12));
    const strided = slice(reshape(of(a), [12, 10, 2]), 2, 1);
    const every = reshape(strided, [12, 10]);
    const odd = array([12, 10], await every.read());
    const b10 = made(10, 8);
    await expectProduct(matmul(every, of(b10)), odd, b10);
  });

  test("gives zeros for no products, and nothing for no rows or columns", async () => {
    const empty = (...shape: number[]): Tensor => tensor(new Float32Array(0), shape);
    expect([...(await matmul(empty(2, 0), empty(0, 3)).read())]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(await matmul(empty(0, 3), of(made(3, 4))).read()).toHaveLength(0);
    expect(await matmul(of(made(4, 3)), empty(3, 0)).read()).toHaveLength(0);
    expect(await matmul(empty(0, 4, 3), of(made(3, 4))).read()).toHaveLength(0);
  });

  test("multiplies more matrices than one dimension of a grid has workgroups", async () => {
    const [a, b] = [random.integers(280_000, -9, 10), random.integers(280_000, -9, 10)];
    const [left, right] = [tensor(Float32Array.from(a)), tensor(Float32Array.from(b))];
    const c = await matmul(reshape(left, [-1, 1, 4]), reshape(right, [-1, 4, 1])).read();
    const at = (i: number): number => (a[i] as number) * (b[i] as number);
    const expected = Float32Array.from({ length: 70_000 }, (_, i) =>
      [0, 1, 2, 3].reduce((sum, k) => sum + at(4 * i + k), 0),
    );
    expect(c).toEqual(expected);
  });

  test("multiplies small integers exactly, and f16 with sums in f32", async ({ skip }) => {
    const [a, b] = [Int32Array.of(1, -2, 3, 4), Int32Array.of(5, 6, -7, 8)];
    const c = await matmul(tensor(a, [2, 2]), tensor(b, [2, 2])).read();
    expect(c).toEqual(Int32Array.of(19, -10, -13, 50));
    if (!gpu.hasF16) skip("the adapter has no f16");
    const halves = Uint16Array.from(random.floats(64), toHalf);
    const x = array([8, 8], Float64Array.from(halves, fromHalf));
    const y = await matmul(tensor(halves, [8, 8]), tensor(halves, [8, 8])).read();
    expectClose(Array.from(y, fromHalf), matmulArrays(x, x).data, TOLERANCES.half);
    const mixed = await matmul(tensor(halves, [8, 8]), cast(tensor(halves, [8, 8]), "f32")).read();
    expectClose(mixed, matmulArrays(x, x).data, summed(8));
  });

  test("refuses vectors, inner sizes that differ, and batches that do not broadcast", () => {
    expect(codeOf(() => matmul(tensor([1, 2]), of(made(2, 2))))).toBe("rank_mismatch");
    expect(codeOf(() => matmul(of(made(2, 3)), of(made(2, 3))))).toBe("shape_mismatch");
    expect(codeOf(() => matmul(of(made(2, 2, 3)), of(made(3, 3, 2))))).toBe("shape_mismatch");
    expect(codeOf(() => matmul(of(made(2, 2)), tensor(Int32Array.of(1, 2), [2, 1])))).toBe(
      "dtype_mismatch",
    );
  });
});

describe("the gradient of a product", () => {
  test.each([
    ["plain", [5, 6], [6, 7]],
    ["vectors of four", [12, 8], [8, 16]],
    ["batched", [2, 3, 4], [2, 4, 5]],
    ["one right matrix for a batch", [2, 3, 4], [4, 5]],
    ["broadcast on either side", [2, 1, 3, 4], [3, 4, 5]],
  ] as const)("equals f64: %s", async (_name, left, right) => {
    const [a, b] = [made(...left), made(...right)];
    const { shape, layout, a: wideA, b: wideB } = alignMatmul(a, b);
    const dc = made(...shape);
    const [da, db] = [new Float64Array(wideA.data.length), new Float64Array(wideB.data.length)];
    matmulBackward(layout, wideA.data, wideB.data, dc.data, da, db);
    const [ta, tb] = [of(a), of(b)];
    const grads = grad(matmul(ta, tb), [ta, tb], { seed: of(dc) });
    for (const [i, [x, wide, full]] of (
      [
        [a, wideA, da],
        [b, wideB, db],
      ] as const
    ).entries()) {
      const actual = grads[i] as Tensor;
      expect(actual.shape).toEqual(x.shape);
      // what broadcasting repeated, the gradient sums up
      const places = expand(
        array(
          x.shape,
          x.data.map((_, at) => at),
        ),
        wide.shape,
      );
      const expected = new Float64Array(x.data.length);
      places.data.forEach((at, n) => {
        expected[at] = (expected[at] as number) + (full[n] as number);
      });
      expectClose(await actual.read(), expected, summed(40), `gradient ${i}`);
    }
  });
});
