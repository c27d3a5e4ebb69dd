import { beforeAll, describe, expect, it } from "vitest";
import { addLayerNorm, type Device, layerNorm, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/layer-norm.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { ROW_CASES, rowTensor } from "../../support/row-cases.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const eps = 1e-5;
const { row, rowGradient } = TOLERANCES;

describe.each(KERNEL_CLASSES)("layerNorm by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agrees with f64 at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    const x = random.floats(rows * cols, -2, 2);
    const [weight, bias] = [random.floats(cols), random.floats(cols)];
    const dy = random.floats(rows * cols);
    const { values, kernels: ran } = await evaluate(
      gpu,
      () => {
        const [input, scale, shift] = [rowTensor(x, at), tensor(weight), tensor(bias)];
        const y = layerNorm(input, scale, { bias: shift });
        const [dx, dweight, dbias] = gradients([[y, dy]], [input, scale, shift]);
        return { y, dx, dweight, dbias };
      },
      kernels,
    );
    const input = { rows, cols, x, weight, bias, eps };
    const { dx, dweight, dbias } = oracle.layerNormBackward(input, dy);
    expectClose(values.y, oracle.layerNorm(input).y, row, "y");
    expectClose(values.dx, dx, rowGradient, "dx");
    expectClose(values.dweight, dweight, summed(rows, 16), "dweight");
    expectClose(values.dbias, dbias, summed(rows), "dbias");
    const suffix = kernels === "hardware" ? "_workgroup" : "";
    expect(ran).toContain(`layer-norm.wgsl:layer_norm${suffix}`);
    expect(ran).not.toContain("map:copy");
  });

  it.each([
    [9, 33],
    [130, 8],
  ])("adds a residual and carries its gradient through at %i × %i", async (rows, cols) => {
    const random = randoms(rows);
    const draw = () => random.floats(rows * cols, -2, 2);
    const [x, residual, dy, dsum] = [draw(), draw(), draw(), draw()];
    const weight = random.floats(cols, 0.5, 1.5);
    const { values } = await evaluate(
      gpu,
      () => {
        const a = tensor(x, [rows, cols]);
        const b = tensor(residual, [rows, cols]);
        const scale = tensor(weight);
        const [y, total] = addLayerNorm(a, b, scale);
        const pairs = [[y, dy] as const, [total, dsum] as const];
        const [dx, dresidual, dweight] = gradients(pairs, [a, b, scale]);
        return { y, total, dx, dresidual, dweight };
      },
      kernels,
    );
    const input = { rows, cols, x, residual, weight, eps };
    const [forward, back] = [oracle.layerNorm(input), oracle.layerNormBackward(input, dy, dsum)];
    expectClose(values.y, forward.y, row, "y");
    expectClose(values.total, forward.sum, TOLERANCES.arithmetic, "sum");
    expectClose(values.dx, back.dx, rowGradient, "dx");
    expectClose(values.dresidual, back.dx, rowGradient, "dresidual");
    expectClose(values.dweight, back.dweight, summed(rows, 16), "dweight");
  });
});

describe("layerNorm", () => {
  it("keeps its digits where the mean is large against the spread", async () => {
    const [rows, cols] = [4, 64] as const;
    const x = randoms(8).floats(rows * cols, 999, 1001);
    const weight = new Float32Array(cols).fill(1);
    const { values } = await evaluate(gpu, () => ({
      y: layerNorm(tensor(x, [rows, cols]), tensor(weight)),
    }));
    // x itself is known to 2^-15 of its spread
    const { y } = oracle.layerNorm({ rows, cols, x, weight, eps });
    expectClose(values.y, y, { abs: 2 ** -12, rel: 0 });
  });

  it("adds the gradient of a residual stream inside its own gradient kernel", async () => {
    const random = randoms(6);
    const [x, dy, direct] = [random.floats(24), random.floats(24), random.floats(24)];
    const weight = random.floats(8);
    const { values, kernels } = await evaluate(gpu, () => {
      const input = tensor(x, [3, 8]);
      const pairs = [[layerNorm(input, tensor(weight)), dy] as const, [input, direct] as const];
      return { dx: gradients(pairs, [input])[0] };
    });
    const back = oracle.layerNormBackward({ rows: 3, cols: 8, x, weight, eps }, dy, direct);
    expectClose(values.dx, back.dx, rowGradient);
    expect(kernels.at(-1)).toContain("layer-norm-backward.wgsl");
  });

  it("gives zero gradient to the weight of no rows", async () => {
    const { values } = await evaluate(gpu, () => {
      const [x, weight] = [tensor(new Float32Array(0), [0, 4]), tensor([1, 2, 3, 4])];
      const y = layerNorm(x, weight);
      return { y, dweight: gradients([[y, new Float32Array(0)]], [weight])[0] };
    });
    expect(values.y).toHaveLength(0);
    expect([...values.dweight]).toEqual([0, 0, 0, 0]);
  });

  it("refuses operands that do not fit", () => {
    const x = tensor(new Float32Array(6), [2, 3]);
    const weight = tensor([1, 1, 1]);
    expect(codeOf(() => layerNorm(x, tensor([1, 1])))).toBe("shape_mismatch");
    expect(codeOf(() => layerNorm(x, weight, { bias: tensor([1]) }))).toBe("shape_mismatch");
    expect(codeOf(() => addLayerNorm(x, weight, weight))).toBe("shape_mismatch");
    expect(codeOf(() => layerNorm(tensor(1), tensor([1])))).toBe("rank_mismatch");
  });
});
