import { beforeAll, describe, expect, it } from "vitest";
import { cumulativeSum, type Device, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/cumulative-sum.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { ROW_CASES, rowTensor } from "../../support/row-cases.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("cumulativeSum by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agrees with f64 in both directions at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    const [x, dy] = [random.floats(rows * cols), random.floats(rows * cols)];
    const { values, kernels: ran } = await evaluate(
      gpu,
      () => {
        const input = rowTensor(x, at);
        const y = cumulativeSum(input);
        const reversed = cumulativeSum(input, -1, { isReversed: true });
        const [dx] = gradients([[y, dy]], [input]);
        const [dxReversed] = gradients([[reversed, dy]], [input]);
        return { y, reversed, dx, dxReversed };
      },
      kernels,
    );
    const { cumulativeSum: forward, cumulativeSumBackward: backward } = oracle;
    expectClose(values.y, forward(rows, cols, x), summed(cols), "y");
    expectClose(values.reversed, backward(rows, cols, x), summed(cols), "reversed");
    expectClose(values.dx, backward(rows, cols, dy), summed(cols), "dx");
    expectClose(values.dxReversed, forward(rows, cols, dy), summed(cols), "dx, reversed");
    expect(ran).not.toContain("map:copy");
  });
});

describe("cumulativeSum", () => {
  it("counts exactly, and along any axis", async () => {
    const { values } = await evaluate(gpu, () => ({
      count: cumulativeSum(tensor(new Float32Array(5000).fill(1))),
      down: cumulativeSum(
        tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]),
        0,
      ),
    }));
    expectClose(
      values.count,
      Array.from({ length: 5000 }, (_, i) => i + 1),
      TOLERANCES.exact,
    );
    expect([...values.down]).toEqual([1, 2, 4, 6, 9, 12]);
  });

  it("refuses an axis that is not there", () => {
    expect(codeOf(() => cumulativeSum(tensor(1)))).toBe("rank_mismatch");
  });
});
