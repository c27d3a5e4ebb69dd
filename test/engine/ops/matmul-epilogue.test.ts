import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  gelu,
  greater,
  matmul,
  mul,
  relu,
  reshape,
  slice,
  sum,
  type Tensor,
  tensor,
  transpose,
} from "../../../engine/index.ts";
import { array, count, type NdArray, zip } from "../../reference/array.ts";
import { ELEMENTWISE } from "../../reference/elementwise.ts";
import { matmulArrays } from "../../reference/matmul.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed } from "../../support/tolerances.ts";

beforeAll(async () => {
  await device();
});

const random = randoms(1);
const made = (...shape: number[]): NdArray => array(shape, random.floats(count(shape)));
const of = (x: NdArray): Tensor => tensor(Float32Array.from(x.data), x.shape);

describe("what follows a product", () => {
  const [a, b, bias, residual] = [made(9, 12), made(12, 16), made(16), made(9, 16)];
  const c = matmulArrays(a, b);
  type Tail = (c: Tensor, bias: Tensor, residual: Tensor) => Tensor;
  const cases: [string, Tail, NdArray][] = [
    ["a bias", (x, w) => add(x, w), zip((p = 0, q = 0) => p + q, c, bias)],
    [
      "a bias and a residual",
      (x, w, r) => add(add(x, w), r),
      zip((p = 0, q = 0, r = 0) => p + q + r, c, bias, residual),
    ],
    [
      "an activation",
      (x, w) => gelu(add(x, w)),
      zip((p = 0, q = 0) => ELEMENTWISE.gelu(p + q), c, bias),
    ],
    ["a scalar", (x) => mul(x, 0.125), zip((p = 0) => p / 8, c)],
    [
      "a value for each row",
      (x, _w, r) => mul(x, slice(r, 1, 0, 1)),
      zip(
        (p = 0, q = 0) => p * q,
        c,
        array(
          [9, 1],
          residual.data.filter((_, i) => i % 16 === 0),
        ),
      ),
    ],
    [
      "a residual stored transposed",
      (x, _w, r) => add(x, transpose(reshape(r, [16, 9]))),
      zip(
        (p = 0, q = 0) => p + q,
        c,
        array(
          [9, 16],
          Array.from(
            { length: 144 },
            (_, i) => residual.data[(i % 16) * 9 + Math.floor(i / 16)] as number,
          ),
        ),
      ),
    ],
    [
      "another shape of the same elements",
      (x, w) => add(reshape(x, [3, 3, 16]), w),
      zip((p = 0, q = 0) => p + q, array([3, 3, 16], c.data), bias),
    ],
    [
      "one of its own operands",
      (x, _w, r) => add(mul(x, x), r),
      zip((p = 0, r = 0) => p * p + r, c, residual),
    ],
  ];

  test.each(cases)("may be %s", async (_name, tail, expected) => {
    using run = compile((...x: Tensor[]) => {
      const [p, q, w, r] = x as [Tensor, Tensor, Tensor, Tensor];
      return tail(matmul(p, q), w, r);
    });
    const y = await run(of(a), of(b), of(bias), of(residual));
    expect(y.shape).toEqual(expected.shape);
    expectClose(await y.read(), expected.data, summed(12, 2));
  });

  test.each([
    ["vectors of four", 16],
    ["an odd number of columns", 13],
  ])("is fused into the product, with %s", async (_name, n) => {
    const [w, v, r] = [made(12, n), made(n), made(9, n)];
    using run = compile((...x: Tensor[]) => {
      const [p, q, s, t] = x as [Tensor, Tensor, Tensor, Tensor];
      return relu(add(add(matmul(p, q), s), t));
    });
    const inputs = [of(a), of(w), of(v), of(r)];
    const { kernels } = await run.describe(...inputs);
    expect(kernels.map((k) => k.label)).toEqual([expect.stringMatching(/^matmul.*\+epilogue$/)]);
    const expected = zip((p = 0, q = 0, s = 0) => Math.max(0, p + q + s), matmulArrays(a, w), v, r);
    expectClose(await (await run(...inputs)).read(), expected.data, summed(12, 2));
  });

  test("may be stored as another dtype, used twice, or be the output itself as well", async () => {
    const [p, q] = [of(a), of(b)];
    const mask = await greater(matmul(p, q), 0).read();
    expect(mask).toEqual(Uint32Array.from(c.data, (v) => Number(v > 0)));
    using run = compile((x: Tensor, y: Tensor) => {
      const z = matmul(x, y);
      return { z, positive: relu(z), total: sum(z) };
    });
    const result = await run(p, q);
    expectClose(await result.z.read(), c.data, summed(12));
    expectClose(
      await result.positive.read(),
      c.data.map((v) => Math.max(0, v)),
      summed(12),
    );
  });

  test("works batch by batch", async () => {
    const [x, y, w] = [made(3, 5, 8), made(3, 8, 12), made(12)];
    const z = relu(add(matmul(of(x), of(y)), of(w)));
    const expected = zip((p = 0, q = 0) => Math.max(0, p + q), matmulArrays(x, y), w);
    expectClose(await z.read(), expected.data, summed(8, 2));
  });
});
