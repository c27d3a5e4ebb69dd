import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  broadcastTo,
  compile,
  grad,
  matmul,
  mul,
  permute,
  reshape,
  slice,
  split,
  squeeze,
  sum,
  type Tensor,
  tensor,
  transpose,
  unsqueeze,
} from "../../../engine/index.ts";
import {
  array,
  expand,
  type NdArray,
  permute as permuteArray,
  reshape as reshapeArray,
  slice as sliceArray,
} from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

beforeAll(async () => {
  await device();
});

const SHAPE = [2, 3, 4];
const DATA = randoms(1).floats(24);
const x = tensor(DATA, SHAPE);
const X = array(SHAPE, DATA);

async function expectEqual(actual: Tensor, expected: NdArray): Promise<void> {
  expect(actual.shape).toEqual(expected.shape);
  expect(Array.from(await actual.read())).toEqual(expected.data);
}

describe("reading a view", () => {
  test("gives the elements that NumPy gives", async () => {
    await expectEqual(reshape(x, [4, -1]), reshapeArray(X, [4, 6]));
    await expectEqual(permute(x, [2, 0, 1]), permuteArray(X, [2, 0, 1]));
    await expectEqual(permute(x, [-1, 0, 1]), permuteArray(X, [2, 0, 1]));
    await expectEqual(transpose(x), permuteArray(X, [0, 2, 1]));
    await expectEqual(transpose(x, 0, 1), permuteArray(X, [1, 0, 2]));
    await expectEqual(slice(x, 1, 1), sliceArray(X, [0, 1, 0], [2, 2, 4]));
    await expectEqual(slice(x, -1, -3, -1), sliceArray(X, [0, 0, 1], [2, 3, 2]));
    await expectEqual(slice(x, -1, 2), sliceArray(X, [0, 0, 2], [2, 3, 2]));
    await expectEqual(slice(x, 0, 1, 1), sliceArray(X, [1, 0, 0], [0, 3, 4]));
    await expectEqual(unsqueeze(x, -1), reshapeArray(X, [2, 3, 4, 1]));
    await expectEqual(unsqueeze(x, 1), reshapeArray(X, [2, 1, 3, 4]));
    await expectEqual(squeeze(tensor(DATA, [2, 1, 12, 1])), reshapeArray(X, [2, 12]));
    await expectEqual(squeeze(tensor(DATA, [2, 1, 12, 1]), 1), reshapeArray(X, [2, 12, 1]));
    await expectEqual(squeeze(tensor(DATA, [2, 1, 12]), 0), reshapeArray(X, [2, 1, 12]));
  });

  test("repeats axes of size 1", async () => {
    const row = array([1, 4], DATA.subarray(0, 4));
    const wide = broadcastTo(tensor(DATA.slice(0, 4), [1, 4]), [2, 3, 4]);
    await expectEqual(wide, expand(row, [2, 3, 4]));
    await expectEqual(broadcastTo(tensor(7), [3]), array([3], [7, 7, 7]));
  });

  test("gives the parts of a split", async () => {
    const parts = split(x, 1, [1, 2]);
    await expectEqual(parts[0] as Tensor, sliceArray(X, [0, 0, 0], [2, 1, 4]));
    await expectEqual(parts[1] as Tensor, sliceArray(X, [0, 1, 0], [2, 2, 4]));
  });

  test("copies where no strides exist: a reshape across a gap", async () => {
    const turned = permuteArray(X, [2, 0, 1]);
    await expectEqual(reshape(permute(x, [2, 0, 1]), [6, 4]), reshapeArray(turned, [6, 4]));
    const cut = sliceArray(X, [0, 1, 1], [2, 2, 3]);
    const flat = reshape(slice(slice(x, 1, 1), 2, 1), [-1]);
    await expectEqual(flat, reshapeArray(cut, [12]));
    const twice = expand(array([2, 3, 1, 4], DATA), [2, 3, 2, 4]);
    const repeated = reshape(broadcastTo(unsqueeze(x, 2), [2, 3, 2, 4]), [2, 6, 4]);
    await expectEqual(repeated, reshapeArray(twice, [2, 6, 4]));
  });

  test("works on integers and for tensors without elements", async () => {
    const integers = tensor(Int32Array.of(1, -2, 3, 4, 5, 6), [2, 3]);
    expect(await transpose(integers).read()).toEqual(Int32Array.of(1, 4, -2, 5, 3, 6));
    expect(await reshape(tensor(new Float32Array(0), [0, 3]), [3, 0]).read()).toHaveLength(0);
  });
});

describe("a view inside an expression", () => {
  test("costs no kernel of its own", async () => {
    const w = tensor(randoms(2).floats(24), [4, 6]);
    using run = compile((a: Tensor, b: Tensor) =>
      sum(mul(transpose(reshape(a, [6, 4])), slice(b, 0, 0)), 0, { keepDims: true }),
    );
    const { kernels } = await run.describe(x, w);
    expect(kernels.map((k) => k.label)).toEqual([expect.stringMatching(/^reduce/)]);
  });

  test("is read in place by a product, also transposed and cut", async () => {
    const [a, b] = [tensor(randoms(3).floats(64), [8, 8]), tensor(randoms(4).floats(64), [8, 8])];
    using run = compile((p: Tensor, q: Tensor) =>
      matmul(slice(p, 0, 4), transpose(slice(q, 1, 0, 8))),
    );
    const { kernels } = await run.describe(a, b);
    expect(kernels.filter((k) => !k.label.startsWith("matmul"))).toEqual([]);
  });
});

describe("gradients of views", () => {
  test("put each gradient where its element came from", async () => {
    const weights = randoms(5).floats(24);
    const all = Array.from(weights);
    const cases: [string, (t: Tensor) => Tensor, (w: NdArray) => NdArray][] = [
      ["reshape", (t) => reshape(t, [6, 4]), (w) => reshapeArray(w, SHAPE)],
      ["permute", (t) => permute(t, [2, 0, 1]), (w) => permuteArray(w, [1, 2, 0])],
      ["transpose", (t) => transpose(t), (w) => permuteArray(w, [0, 2, 1])],
    ];
    for (const [name, view, inverse] of cases) {
      const y = view(x);
      const [dx] = grad(sum(mul(y, tensor(weights, y.shape))), [x]) as [Tensor];
      expect(dx.shape, name).toEqual(SHAPE);
      expect(Array.from(await dx.read()), name).toEqual(inverse(array(y.shape, all)).data);
    }
  });

  test("of a slice are zero outside of it", async () => {
    const [dx] = grad(sum(slice(slice(x, 1, 1, 2), 2, 2)), [x]) as [Tensor];
    const expected = DATA.map((_, i) => Number(Math.floor(i / 4) % 3 === 1 && i % 4 >= 2));
    expect(await dx.read()).toEqual(expected);
  });

  test("of a broadcast are summed", async () => {
    const row = tensor([[1], [2]]);
    const weights = randoms(6).floats(24);
    const y = mul(broadcastTo(row, [3, 2, 4]), tensor(weights, [3, 2, 4]));
    const [dx] = grad(sum(y), [row]) as [Tensor];
    const expected = [0, 0];
    weights.forEach((w, i) => {
      const at = Math.floor(i / 4) % 2;
      expected[at] = (expected[at] as number) + w;
    });
    expect(dx.shape).toEqual([2, 1]);
    expectClose(await dx.read(), expected, TOLERANCES.chain);
  });

  test("of overlapping slices add up", async () => {
    const v = tensor([1, 2, 3, 4]);
    const y = add(slice(v, 0, 0, 3), slice(v, 0, 1, 4));
    const [dv] = grad(sum(y), [v]) as [Tensor];
    expect([...(await dv.read())]).toEqual([1, 2, 2, 1]);
  });
});

describe("views that can not be", () => {
  test.each([
    ["reshape to another size", () => reshape(x, [5, 5]), "shape_mismatch"],
    ["permute with a missing axis", () => permute(x, [0, 1]), "rank_mismatch"],
    ["permute with a repeated axis", () => permute(x, [0, 1, 1]), "rank_mismatch"],
    ["permute with an axis too many", () => permute(x, [0, 1, 2, 0]), "rank_mismatch"],
    ["transpose of a vector", () => transpose(tensor([1, 2])), "rank_mismatch"],
    ["broadcast to fewer axes", () => broadcastTo(x, [3, 4]), "shape_mismatch"],
    ["broadcast of an axis larger than 1", () => broadcastTo(x, [2, 6, 4]), "shape_mismatch"],
    ["slice beyond the end", () => slice(x, 1, 0, 4), "index_out_of_range"],
    ["slice that ends before it starts", () => slice(x, 1, 2, 1), "index_out_of_range"],
    ["slice at a fraction", () => slice(x, 1, 0.5), "index_out_of_range"],
    ["slice of an axis that is not there", () => slice(x, 3, 0, 1), "rank_mismatch"],
    ["split whose sizes do not add up", () => split(x, 1, [1, 1]), "shape_mismatch"],
    ["unsqueeze beyond the rank", () => unsqueeze(x, 4), "rank_mismatch"],
    ["unsqueeze below the rank", () => unsqueeze(x, -5), "rank_mismatch"],
    ["squeeze of an axis that is not there", () => squeeze(x, 3), "rank_mismatch"],
  ] as const)("%s is refused", (_name, make, code) => {
    expect(codeOf(make)).toBe(code);
  });
});
