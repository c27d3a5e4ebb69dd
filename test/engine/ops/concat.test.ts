import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  concat,
  type Device,
  grad,
  mul,
  pad,
  slice,
  stack,
  sum,
  type Tensor,
  tensor,
  toHalf,
  transpose,
} from "../../../engine/index.ts";
import {
  array,
  concat as concatArrays,
  type NdArray,
  pad as padArray,
  permute,
} from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const random = randoms(1);
const A = array([2, 3], random.floats(6));
const B = array([2, 5], random.floats(10));
const C = array([4, 3], random.floats(12));
const of = (x: NdArray): Tensor => tensor(Float32Array.from(x.data), x.shape);

async function expectEqual(actual: Tensor, expected: NdArray): Promise<void> {
  expect(actual.shape).toEqual(expected.shape);
  expect(Array.from(await actual.read())).toEqual(expected.data);
}

describe("concat", () => {
  test("joins along any axis, counted from either end", async () => {
    await expectEqual(concat([of(A), of(B)], 1), concatArrays([A, B], 1));
    await expectEqual(concat([of(A), of(B), of(A)], -1), concatArrays([A, B, A], 1));
    await expectEqual(concat([of(A), of(C)]), concatArrays([A, C], 0));
  });

  test("reads strided parts and computed ones", async () => {
    const turned = permute(C, [1, 0]);
    const doubled = { shape: C.shape, data: C.data.map((v) => v + v) };
    await expectEqual(concat([transpose(of(C)), of(turned)], 0), concatArrays([turned, turned], 0));
    await expectEqual(concat([add(of(C), of(C)), of(C)], 1), concatArrays([doubled, C], 1));
  });

  test("takes one part, parts without elements, and integers", async () => {
    await expectEqual(concat([of(A)], 0), A);
    const none = tensor(new Float32Array(0), [0, 3]);
    await expectEqual(concat([none, of(A), none], 0), A);
    const integers = tensor(Int32Array.of(1, -2));
    expect(await concat([integers, integers]).read()).toEqual(Int32Array.of(1, -2, 1, -2));
  });

  test("widens f16 beside f32, where the adapter has f16", async ({ skip }) => {
    if (!gpu.hasF16) skip("the adapter has no f16");
    const half = tensor(Uint16Array.of(toHalf(1.5), toHalf(-2)));
    expect(await concat([half, tensor([3])]).read()).toEqual(Float32Array.of(1.5, -2, 3));
    const halves = await concat([half, half, half]).read();
    expect(halves).toEqual(Uint16Array.from([1.5, -2, 1.5, -2, 1.5, -2], toHalf));
  });

  test("hands each part its own piece of the gradient", async () => {
    const [a, b] = [of(A), of(B)];
    const weights = random.floats(16);
    const [da, db] = grad(sum(mul(concat([a, b], 1), tensor(weights, [2, 8]))), [a, b]) as [
      Tensor,
      Tensor,
    ];
    const w = array([2, 8], weights);
    await expectEqual(
      da,
      array(
        [2, 3],
        [0, 1, 2, 8, 9, 10].map((i) => w.data[i] as number),
      ),
    );
    await expectEqual(
      db,
      array(
        [2, 5],
        [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((i) => w.data[i] as number),
      ),
    );
  });

  test("adds up the gradients of a part that comes twice", async () => {
    const a = tensor([1, 2]);
    const [da] = grad(sum(mul(concat([a, a]), tensor([1, 2, 3, 4]))), [a]) as [Tensor];
    expect([...(await da.read())]).toEqual([4, 6]);
  });

  test("refuses nothing to join, other shapes, ranks and dtypes", () => {
    expect(codeOf(() => concat([]))).toBe("argument_invalid");
    expect(codeOf(() => concat([of(A), of(B)], 0))).toBe("shape_mismatch");
    expect(codeOf(() => concat([of(A), tensor([1, 2, 3])], 0))).toBe("shape_mismatch");
    expect(codeOf(() => concat([tensor([1]), tensor(Int32Array.of(1))]))).toBe("dtype_mismatch");
    expect(codeOf(() => concat([of(A)], 2))).toBe("rank_mismatch");
  });
});

describe("stack", () => {
  test("joins along a new axis, first, inner or last", async () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    await expectEqual(stack([a, b]), array([2, 2], [1, 2, 3, 4]));
    await expectEqual(stack([a, b], -1), array([2, 2], [1, 3, 2, 4]));
    await expectEqual(
      stack([of(A), of(A)], 1),
      array(
        [2, 2, 3],
        [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5].map((i) => A.data[i] as number),
      ),
    );
  });
});

describe("pad", () => {
  test("puts a value before and after each axis", async () => {
    await expectEqual(
      pad(of(A), [
        [1, 0],
        [2, 3],
      ]),
      padArray(
        A,
        [
          [1, 0],
          [2, 3],
        ],
        0,
      ),
    );
    await expectEqual(
      pad(
        of(A),
        [
          [0, 0],
          [1, 1],
        ],
        -7,
      ),
      padArray(
        A,
        [
          [0, 0],
          [1, 1],
        ],
        -7,
      ),
    );
    await expectEqual(pad(transpose(of(A)), [[0, 1]]), padArray(permute(A, [1, 0]), [[0, 1]], 0));
  });

  test("is undone by its gradient, and undoes that of slice", async () => {
    const a = of(A);
    const weights = random.floats(20);
    const y = mul(
      pad(a, [
        [1, 1],
        [0, 2],
      ]),
      tensor(weights, [4, 5]),
    );
    const [da] = grad(sum(y), [a]) as [Tensor];
    await expectEqual(
      da,
      array(
        [2, 3],
        [5, 6, 7, 10, 11, 12].map((i) => weights[i] as number),
      ),
    );
    const [ds] = grad(sum(slice(a, 1, 1, 2)), [a]) as [Tensor];
    await expectEqual(ds, array([2, 3], [0, 1, 0, 0, 1, 0]));
  });

  test("of nothing is the tensor itself; negative amounts and axes too many are refused", () => {
    const a = of(A);
    expect(
      pad(a, [
        [0, 0],
        [0, 0],
      ]),
    ).toBe(a);
    expect(codeOf(() => pad(a, [[-1, 0]]))).toBe("argument_invalid");
    expect(
      codeOf(() =>
        pad(a, [
          [0, 0],
          [0, 0],
          [1, 0],
        ]),
      ),
    ).toBe("argument_invalid");
  });
});
