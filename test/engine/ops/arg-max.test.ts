import { beforeAll, describe, expect, it } from "vitest";
import { argMax, argMin, type Device, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/arg-max.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, randoms } from "../../support/gpu.ts";
import { ROW_CASES, rowTensor } from "../../support/row-cases.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("argMax and argMin by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("find the first of equal elements at $name", async (at) => {
    const { rows, cols } = at;
    // few distinct values: ties in every row
    const x = Float32Array.from(randoms(rows * 1000 + cols).integers(rows * cols, -3, 3));
    const { values } = await evaluate(
      gpu,
      () => ({ high: argMax(rowTensor(x, at)), low: argMin(rowTensor(x, at)) }),
      kernels,
    );
    expect([...values.high]).toEqual([...oracle.argMax(rows, cols, x)]);
    expect([...values.low]).toEqual([
      ...oracle.argMax(
        rows,
        cols,
        x.map((v) => -v),
      ),
    ]);
  });
});

describe("argMax", () => {
  it("tells integers apart that are one f32", async () => {
    const large = new Int32Array([2 ** 30, 2 ** 30 + 1, -(2 ** 30), -(2 ** 30) - 1]);
    const { values } = await evaluate(gpu, () => ({
      high: argMax(tensor(large)),
      low: argMin(tensor(large)),
      unsigned: argMax(tensor(new Uint32Array([7, 0xffff_ffff, 0xffff_fffe]))),
    }));
    expect([...values.high, ...values.low, ...values.unsigned]).toEqual([1, 3, 1]);
  });

  it("works along any axis and keeps it if asked", async () => {
    const x = tensor([
      [1, 5],
      [4, 2],
      [3, 9],
    ]);
    const kept = argMax(x, 0, { keepDims: true });
    const { values } = await evaluate(gpu, () => ({ kept, least: argMin(x, 0) }));
    expect(kept.shape).toEqual([1, 2]);
    expect([...values.kept, ...values.least]).toEqual([1, 2, 0, 1]);
  });

  it("lets no gradient through", async () => {
    const { values } = await evaluate(gpu, () => {
      const x = tensor([1, 3, 2]);
      const y = x.add(argMax(x).cast("f32"));
      return { dx: gradients([[y, new Float32Array([1, 2, 3])]], [x])[0] };
    });
    expect([...values.dx]).toEqual([1, 2, 3]);
  });

  it("refuses an axis without elements", () => {
    const none = tensor(new Float32Array(0), [2, 0]);
    expect(codeOf(() => argMax(none))).toBe("shape_mismatch");
    expect(codeOf(() => argMin(tensor(1)))).toBe("rank_mismatch");
  });
});
