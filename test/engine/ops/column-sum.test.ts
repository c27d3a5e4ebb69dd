import { beforeAll, describe, expect, it } from "vitest";
import { shaderSource } from "../../../engine/graph/shader-source.ts";
import type { Device } from "../../../engine/index.ts";
import { COLUMN_SUM, type ColumnSumCall, rowBlocks } from "../../../engine/ops/norm-variants.ts";
import { chooseRow } from "../../../engine/ops/row-variants.ts";
import { columnSum } from "../../reference/column-sum.ts";
import { KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { runKernel } from "../../support/kernel.ts";
import { summed } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("column sums by %s kernels", (kernels) => {
  const facts = { isSoftware: kernels === "software", subgroupSize: undefined };

  /** The sums, into memory that is NaN before and must stay so behind them. */
  async function run(x: Float32Array, call: ColumnSumCall): Promise<Float32Array> {
    const dispatch = chooseRow(COLUMN_SUM, facts, call);
    const count = (call.blocks ?? 1) * call.cols;
    const out = new Float32Array(count + 8).fill(Number.NaN);
    const source = shaderSource(dispatch.name);
    const { bindings } = await runKernel(gpu, { ...dispatch, source, bindings: [x, out] });
    const all = bindings[1] as Float32Array;
    expect([...all.subarray(count)].every(Number.isNaN)).toBe(true);
    return all.slice(0, count);
  }

  it.each([
    { rows: 1, cols: 1, offset: 0, stride: 1 },
    { rows: 17, cols: 5, offset: 3, stride: 9 },
    { rows: 257, cols: 132, offset: 4, stride: 140 },
    { rows: 10_001, cols: 4, offset: 0, stride: 4 },
  ])("agree with f64 for $rows rows $stride apart, at once and in blocks", async (view) => {
    const { rows, cols, offset, stride } = view;
    const x = randoms(rows).floats(offset + rows * stride);
    const dense = Float32Array.from({ length: rows * cols }, (_, i) => {
      return x[offset + Math.floor(i / cols) * stride + (i % cols)] as number;
    });
    const expected = columnSum(rows, cols, dense);
    expectClose(await run(x, view), expected, summed(rows), "at once");
    const blocks = rowBlocks(facts, rows);
    const partials = await run(x, { ...view, blocks });
    expectClose(await run(partials, { rows: blocks, cols }), expected, summed(rows), "in blocks");
  });
});
