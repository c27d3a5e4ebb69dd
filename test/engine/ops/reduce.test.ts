import { beforeAll, describe, expect, test } from "vitest";
import {
  compile,
  type Device,
  exp,
  fromHalf,
  grad,
  max,
  mean,
  min,
  mul,
  product,
  sum,
  type Tensor,
  tensor,
  toHalf,
  transpose,
  variance,
} from "../../../engine/index.ts";
import { array, differences, type NdArray, reduce } from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const total = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0);
const KINDS = {
  sum: { op: sum, fn: total },
  product: { op: product, fn: (x: readonly number[]): number => x.reduce((a, b) => a * b, 1) },
  max: { op: max, fn: (x: readonly number[]): number => Math.max(...x) },
  min: { op: min, fn: (x: readonly number[]): number => Math.min(...x) },
};
const kinds = Object.entries(KINDS);

/** Every subset of the axes of a rank. */
function subsets(rank: number): number[][] {
  return Array.from({ length: 2 ** rank }, (_, bits) =>
    Array.from({ length: rank }, (_, axis) => axis).filter((axis) => bits & (1 << axis)),
  );
}

/** What `op` gives over `axes` of random data of `shape`, and the oracle's answer. */
function withoutAxes(x: NdArray, axes: readonly number[]): number[] {
  return x.shape.filter((_, i) => !axes.includes(i));
}

describe.each(kinds)("%s", (_name, { op, fn }) => {
  const shape = [3, 4, 8];
  const data = randoms(1).floats(96, 0.5, 1.5);

  test("reduces every subset of axes, keeping them or not", async () => {
    const x = tensor(data, shape);
    const cases = subsets(3);
    using run = compile((t: Tensor) => cases.map((axes) => op(t, axes, { keepDims: true })));
    const kept = await run(x);
    for (const [i, axes] of cases.entries()) {
      const expected = reduce(array(shape, data), axes, fn);
      expect(kept[i]?.shape).toEqual(expected.shape);
      const actual = await (kept[i] as Tensor).read();
      expectClose(actual, expected.data, summed(96, 2), `axes [${axes}]`);
      const dropped = op(x, axes);
      expect(dropped.shape).toEqual(withoutAxes(array(shape, data), axes));
    }
    expect(op(x, [0, 1, 2]).shape).toEqual([]);
    expectClose(await op(x, -1).read(), reduce(array(shape, data), [2], fn).data, summed(8, 2));
  });

  test("reduces odd sizes and transposed views", async () => {
    const odd = randoms(2).floats(105, 0.5, 1.5);
    const x = tensor(odd, [3, 5, 7]);
    for (const axes of [[0], [1], [2], [0, 2]]) {
      const expected = reduce(array([3, 5, 7], odd), axes, fn);
      expectClose(await op(x, axes).read(), expected.data, summed(21, 2), `axes [${axes}]`);
    }
    const rows = tensor(data, [12, 8]);
    const expected = reduce(array([12, 8], data), [0], fn);
    expectClose(await op(transpose(rows), 1).read(), expected.data, summed(12, 2), "transposed");
  });

  test("is exact for integers", async () => {
    const integers = randoms(3)
      .integers(40, 1, 4)
      .map((x) => x - 5 * (x % 2));
    const expected = reduce(array([10, 4], integers), [0], fn).data;
    expect(Array.from(await op(tensor(integers, [10, 4]), 0).read())).toEqual(expected);
    const unsigned = Uint32Array.from(integers.slice(0, 12), Math.abs);
    const whole = reduce(array([12], unsigned), [0], fn).data;
    expect(Array.from(await op(tensor(unsigned)).read())).toEqual(whole);
  });
});

describe("reductions of many elements", () => {
  test.each([
    [3, 70001],
    [2, 70004],
    [70001, 3],
    [1, 1024],
    [300, 300],
  ])("equal f64 along both axes of [%i, %i]", async (rows, cols) => {
    const data = randoms(4).floats(rows * cols);
    const x = tensor(data, [rows, cols]);
    for (const axes of [[0], [1], [0, 1]]) {
      const expected = new Float64Array(axes.length === 2 ? 1 : axes[0] === 0 ? cols : rows);
      const largest = new Float64Array(expected.length).fill(Number.NEGATIVE_INFINITY);
      data.forEach((v, i) => {
        const at = axes.length === 2 ? 0 : axes[0] === 0 ? i % cols : Math.floor(i / cols);
        expected[at] = (expected[at] as number) + v;
        largest[at] = Math.max(largest[at] as number, v);
      });
      const length = (rows * cols) / expected.length;
      expectClose(await sum(x, axes).read(), expected, summed(length), `sum over [${axes}]`);
      expectClose(await max(x, axes).read(), largest, TOLERANCES.exact, `max over [${axes}]`);
    }
  });

  test("take two stages when outputs are few, and repeat bit for bit", async () => {
    const x = tensor(randoms(5).floats(70001));
    using run = compile((t: Tensor) => sum(mul(t, t)));
    const { kernels } = await run.describe(x);
    expect(kernels.filter((k) => k.label.startsWith("reduce"))).toHaveLength(2);
    const first = await (await run(x)).read();
    for (let i = 0; i < 3; i++) expect(await (await run(x)).read()).toEqual(first);
  });

  test("fold more workgroups than one dimension of a grid takes", async () => {
    const rows = 64 * 65_535 + 100;
    const data = Float32Array.from({ length: 2 * rows }, (_, i) => i % 7);
    const y = await sum(tensor(data, [rows, 2]), 1).read();
    expect(y).toHaveLength(rows);
    const wrong = y.findIndex((v, i) => v !== ((2 * i) % 7) + ((2 * i + 1) % 7));
    expect(wrong).toBe(-1);
  });

  test("keep the extremes of values far from zero", async () => {
    const data = new Float32Array(5000).fill(-3e38);
    data[4321] = -2e38;
    expect(await max(tensor(data)).item()).toBe(Math.fround(-2e38));
    expect(await min(tensor(data.map((v) => -v))).item()).toBe(Math.fround(2e38));
    expect(await max(tensor(Int32Array.of(-(2 ** 31), -(2 ** 31) + 1))).item()).toBe(
      -(2 ** 31) + 1,
    );
  });
});

describe("empty reductions", () => {
  test("sum to 0 and multiply to 1", async () => {
    const x = tensor(new Float32Array(0), [0, 3]);
    expect([...(await sum(x, 0).read())]).toEqual([0, 0, 0]);
    expect([...(await product(x, 0).read())]).toEqual([1, 1, 1]);
    expect([...(await sum(x, 1).read())]).toEqual([]);
    expect(await sum(x).item()).toBe(0);
  });

  test("have no largest or smallest element", () => {
    for (const op of [max, min]) {
      expect(codeOf(() => op(tensor(new Float32Array(0), [0, 3]), 0))).toBe("shape_mismatch");
    }
  });

  test("over no axes are the tensor itself", async () => {
    const x = tensor([[1, 2]]);
    expect([...(await sum(x, []).read())]).toEqual([1, 2]);
  });
});

describe("mean and variance", () => {
  const data = randoms(6).floats(60, -2, 3);
  const x = array([3, 4, 5], data);

  test.each([[[0]], [[1, 2]], [[0, 1, 2]]])("equal f64 over axes %o", async (axes) => {
    const average = (v: readonly number[]): number => total(v) / v.length;
    const spread = (correction: number) => (v: readonly number[]) => {
      const m = average(v);
      return total(v.map((e) => (e - m) ** 2)) / (v.length - correction);
    };
    const t = tensor(data, [3, 4, 5]);
    expectClose(await mean(t, axes).read(), reduce(x, axes, average).data, summed(60, 0.2));
    for (const correction of [0, 1]) {
      const actual = await variance(t, axes, { correction }).read();
      expectClose(actual, reduce(x, axes, spread(correction)).data, summed(60, 0.5));
    }
    expect(mean(t, axes, { keepDims: true }).shape).toEqual(reduce(x, axes, average).shape);
    expect(variance(t, axes, { keepDims: true }).shape).toEqual(reduce(x, axes, average).shape);
  });
});

describe("f16", () => {
  test("is summed in f32", async ({ skip }) => {
    if (!gpu.hasF16) skip("the adapter has no f16");
    const halves = Uint16Array.from(randoms(7).floats(4096, 0, 1), toHalf);
    const exact = total(Array.from(halves, fromHalf));
    const result = await sum(tensor(halves, [4, 1024]), 1).read();
    const sums = reduce(array([4, 1024], Float64Array.from(halves, fromHalf)), [1], total).data;
    expectClose(Array.from(result, fromHalf), sums, { abs: 0, rel: 2 ** -11 });
    expect(await sum(tensor(halves)).item()).toBe(fromHalf(toHalf(exact)));
    const top = await max(tensor(halves)).item();
    expect(top).toBe(Math.max(...Array.from(halves, fromHalf)));
    // the sum is rounded to f16 before what follows it, fused or not
    expect(await mean(tensor(halves)).item()).toBe(fromHalf(toHalf(exact)) / 4096);
    const long = Uint16Array.from(randoms(8).floats(70_004), toHalf);
    const half = await mul(sum(tensor(long)), 0.5).item();
    expect(half).toBeCloseTo(total(Array.from(long, fromHalf)) / 2, 0);
  });
});

describe("gradients", () => {
  test.each(kinds)("%s equals central differences in f64", async (_name, { op, fn }) => {
    const data = randoms(8).floats(24, 0.5, 1.5);
    const weights = randoms(9).floats(6);
    const t = tensor(data, [2, 4, 3]);
    const y = mul(op(t, 1), tensor(weights, [2, 3]));
    const [dx] = grad(sum(y), [t]) as [Tensor];
    const loss = (v: NdArray): number =>
      total(reduce(v, [1], fn).data.map((r, i) => r * (weights[i] as number)));
    const [expected] = differences(loss as (...i: readonly NdArray[]) => number, [
      array([2, 4, 3], data),
    ]) as [NdArray];
    expectClose(await dx.read(), expected.data, TOLERANCES.chain);
  });

  test("variance equals central differences in f64", async () => {
    const data = randoms(10).floats(12);
    const t = tensor(data, [3, 4]);
    const [dx] = grad(sum(variance(exp(t), 1, { correction: 1 })), [t]) as [Tensor];
    const spread = (v: readonly number[]): number => {
      const m = total(v) / v.length;
      return total(v.map((e) => (e - m) ** 2)) / (v.length - 1);
    };
    const loss = ({ shape, data: d }: NdArray): number =>
      total(reduce({ shape, data: d.map(Math.exp) }, [1], spread).data);
    const [expected] = differences(loss as (...i: readonly NdArray[]) => number, [
      array([3, 4], data),
    ]) as [NdArray];
    expectClose(await dx.read(), expected.data, TOLERANCES.chain);
  });

  test("of max and min are shared equally by ties", async () => {
    const x = tensor([
      [3, 1, 3],
      [2, 2, 2],
    ]);
    const [dmax] = grad(sum(max(x, 1)), [x]) as [Tensor];
    expectClose(await dmax.read(), [0.5, 0, 0.5, 1 / 3, 1 / 3, 1 / 3], TOLERANCES.division);
    const [dmin] = grad(sum(min(x, 1)), [x]) as [Tensor];
    expectClose(await dmin.read(), [0, 1, 0, 1 / 3, 1 / 3, 1 / 3], TOLERANCES.division);
  });
});

describe("axes", () => {
  test("outside of the tensor are refused", () => {
    expect(codeOf(() => sum(tensor([1]), 1))).toBe("rank_mismatch");
    expect(codeOf(() => mean(tensor([1]), -2))).toBe("rank_mismatch");
  });
});
