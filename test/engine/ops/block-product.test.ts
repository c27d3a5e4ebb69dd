import { beforeAll, describe, expect, it } from "vitest";
import { type Device, type HostArray, tensor } from "../../../engine/index.ts";
import { type Block, blockProduct } from "../../../engine/ops/block-product.ts";
import * as oracle from "../../reference/block-product.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe("blockProduct", () => {
  // columns, width and start of each block
  it.each<[string, number, number, string]>([
    ["one block over all columns", 5, 12, "12 3 0"],
    ["one block with gaps on both sides", 7, 24, "8 4 8"],
    ["blocks side by side", 9, 20, "12 4 0 | 8 4 12"],
    ["blocks with a gap between, of other widths", 70, 40, "16 8 0 | 16 4 24"],
    ["blocks in another order than their columns, at odd places", 3, 19, "5 3 11 | 7 1 2"],
    ["no rows", 0, 8, "4 2 0"],
  ])("agrees with f64: %s", async (_, rows, columns, layout) => {
    const random = randoms(columns);
    const blocks = layout.split("|").map((text) => {
      const [n, width, start] = text.trim().split(" ").map(Number) as [number, number, number];
      return { columns: n, width, start, weight: random.floats(n * width) };
    });
    const inner = blocks.reduce((sum, { width }) => sum + width, 0);
    const [x, dy] = [random.floats(rows * inner), random.floats(rows * columns)];
    const { values } = await evaluate(gpu, () => {
      const input = tensor(x, [rows, inner]);
      const weights = blocks.map((b) => tensor(b.weight, [b.columns, b.width]));
      const parts = weights.map((weight, i) => ({ weight, start: blocks[i]?.start as number }));
      const y = blockProduct(input, parts, columns);
      const [dx, ...dweights] = gradients([[y, dy]], [input, ...weights]);
      return { y, dx, ...Object.fromEntries(dweights.map((d, i) => [`dweight${i}`, d])) };
    });
    const expected = oracle.blockProductBackward(x, rows, blocks, columns, dy);
    const results: Record<string, HostArray> = values;
    expectClose(values.y, oracle.blockProductForward(x, rows, blocks, columns), summed(inner), "y");
    expectClose(values.dx, expected.dx, summed(columns), "dx");
    expected.dweights.forEach((dweight, i) => {
      expectClose(results[`dweight${i}`] ?? [], dweight, summed(rows), `dweight ${i}`);
    });
  });

  const x = tensor(new Float32Array(12).fill(1), [2, 6]);
  const block = (columns: number, width: number, start: number): Block => ({
    weight: tensor(new Float32Array(columns * width).fill(1), [columns, width]),
    start,
  });

  it("keeps the leading axes of x", async () => {
    const y = blockProduct(x.reshape([1, 2, 6]), [block(3, 6, 1)], 5);
    expect(y.shape).toEqual([1, 2, 5]);
    expect([...(await y.read())]).toEqual([0, 6, 6, 6, 0, 0, 6, 6, 6, 0]);
  });

  it("refuses blocks that do not fit together", () => {
    expect(codeOf(() => blockProduct(x, [block(4, 5, 0)], 8))).toBe("shape_mismatch");
    expect(codeOf(() => blockProduct(x, [], 8))).toBe("shape_mismatch");
    expect(codeOf(() => blockProduct(x, [block(4, 6, 5)], 8))).toBe("argument_invalid");
    expect(codeOf(() => blockProduct(x, [block(4, 6, -1)], 8))).toBe("argument_invalid");
    const overlapping = [block(4, 3, 0), block(4, 3, 3)];
    expect(codeOf(() => blockProduct(x, overlapping, 8))).toBe("argument_invalid");
    const half = { weight: block(4, 6, 0).weight.cast("f16"), start: 0 };
    expect(codeOf(() => blockProduct(x, [half], 8))).toBe("dtype_mismatch");
  });
});
