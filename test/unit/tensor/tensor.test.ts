import { describe, expect, test } from "vitest";
import { full, mul, State, type Tensor, tensor } from "../../../engine/index.ts";
import { reduce } from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";

const dataOf = (t: Tensor): unknown => t.node.attributes["data"];

describe("tensor", () => {
  test("takes the shape of nested arrays and keeps the dtype of typed ones", () => {
    const nested = tensor([[[1, 2]], [[3, 4]]]);
    expect([nested.shape, nested.dtype]).toEqual([[2, 1, 2], "f32"]);
    expect(dataOf(nested)).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(tensor(5).shape).toEqual([]);
    expect(tensor(Int32Array.of(1, 2)).dtype).toBe("i32");
    expect(tensor(Uint32Array.of(1), [1, 1]).shape).toEqual([1, 1]);
    expect(tensor([]).shape).toEqual([0]);
  });

  test("converts to the dtype that is asked for", () => {
    expect(dataOf(tensor([1.5, -1.5], [2], "i32"))).toEqual(Int32Array.of(1, -1));
    expect(dataOf(tensor(Float32Array.of(1, 2), [2], "u32"))).toEqual(Uint32Array.of(1, 2));
    expect(dataOf(tensor([1, -2], [2], "f16"))).toEqual(Uint16Array.of(0x3c00, 0xc000));
    const halves = Uint16Array.of(0x3c00, 0xc000);
    expect(dataOf(tensor(halves, [2], "f32"))).toEqual(Float32Array.of(1, -2));
    const floats = Float32Array.of(1);
    expect(dataOf(tensor(floats))).toBe(floats);
  });

  test("refuses ragged arrays and shapes of another size", () => {
    expect(codeOf(() => tensor([[1, 2], [3]]))).toBe("shape_mismatch");
    expect(codeOf(() => tensor([[1], 2]))).toBe("shape_mismatch");
    expect(codeOf(() => tensor([1, 2, 3], [2, 2]))).toBe("shape_mismatch");
  });

  test("knows its rank and size, and says what it is", () => {
    const t = mul(tensor([[1, 2, 3]]), 2);
    expect([t.rank, t.size]).toEqual([2, 3]);
    expect(String(t)).toBe("Tensor([1, 3] f32 mul)");
    expect(full([2, 0], 1).size).toBe(0);
  });
});

describe("methods", () => {
  test("of reductions and views are the ops of the same name", () => {
    const t = tensor([
      [1, 2],
      [3, 4],
    ]);
    const made = {
      sum: t.sum(0),
      product: t.product(1),
      max: t.max(0, { keepDims: true }),
      min: t.min(),
      reshape: t.reshape([4]),
      permute: t.permute([1, 0]),
      transpose: t.transpose(),
      slice: t.slice(0, 1),
      unsqueeze: t.unsqueeze(0),
      broadcastTo: t.broadcastTo([3, 2, 2]),
      matmul: t.matmul(t),
      cast: t.cast("i32"),
    };
    const shapes = Object.fromEntries(Object.entries(made).map(([k, v]) => [k, v.shape]));
    expect(shapes).toEqual({
      sum: [2],
      product: [2],
      max: [1, 2],
      min: [],
      reshape: [4],
      permute: [2, 2],
      transpose: [2, 2],
      slice: [1, 2],
      unsqueeze: [1, 2, 2],
      broadcastTo: [3, 2, 2],
      matmul: [2, 2],
      cast: [2, 2],
    });
    expect(made.cast.dtype).toBe("i32");
    expect(made.matmul.node.op.name).toBe("matmul");
  });
});

describe("a state", () => {
  test("must be filled by its data, and assigned within a compiled function", () => {
    expect(codeOf(() => new State([2], "f32", Float32Array.of(1), "s"))).toBe("shape_mismatch");
    const state = new State([2], "f32", 0, "s");
    expect(codeOf(() => state.assign(tensor([1, 2])))).toBe("state_conflict");
    expect([state.sizeBytes, state.device, state.isTrainable]).toEqual([8, undefined, false]);
  });
});

describe("the naive reductions of these tests", () => {
  test("keep reduced axes with size 1", () => {
    const sum = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);
    const x = { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] };
    expect(reduce(x, [1], sum)).toEqual({ shape: [2, 1], data: [6, 15] });
    expect(reduce(x, [0, 1], sum)).toEqual({ shape: [1, 1], data: [21] });
    expect(reduce({ shape: [0, 2], data: [] }, [0], sum)).toEqual({ shape: [1, 2], data: [0, 0] });
  });
});
