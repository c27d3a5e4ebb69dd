import { beforeAll, describe, expect, it } from "vitest";
import { addRmsNorm, type Device, rmsNorm, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/rms-norm.ts";
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

describe.each(KERNEL_CLASSES)("rmsNorm by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agrees with f64 at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    const x = random.floats(rows * cols, -2, 2);
    const weight = random.floats(cols);
    const dy = random.floats(rows * cols);
    const { values, kernels: ran } = await evaluate(
      gpu,
      () => {
        const [input, scale] = [rowTensor(x, at), tensor(weight)];
        const y = rmsNorm(input, scale, { weightOffset: 1 });
        const [dx, dweight] = gradients([[y, dy]], [input, scale]);
        return { y, dx, dweight };
      },
      kernels,
    );
    const input = { rows, cols, x, weight, eps, weightOffset: 1 };
    const { dx, dweight } = oracle.rmsNormBackward(input, dy);
    expectClose(values.y, oracle.rmsNorm(input).y, row, "y");
    expectClose(values.dx, dx, rowGradient, "dx");
    expectClose(values.dweight, dweight, summed(rows, 16), "dweight");
    expect(ran).toContain(`rms-norm.wgsl:rms_norm${kernels === "hardware" ? "_workgroup" : ""}`);
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
        const [y, total] = addRmsNorm(a, b, scale);
        const pairs = [[y, dy] as const, [total, dsum] as const];
        const [dx, dresidual, dweight] = gradients(pairs, [a, b, scale]);
        return { y, total, dx, dresidual, dweight };
      },
      kernels,
    );
    const input = { rows, cols, x, residual, weight, eps };
    const [forward, back] = [oracle.rmsNorm(input), oracle.rmsNormBackward(input, dy, dsum)];
    expectClose(values.y, forward.y, row, "y");
    expectClose(values.total, forward.sum, TOLERANCES.arithmetic, "sum");
    expectClose(values.dx, back.dx, rowGradient, "dx");
    expectClose(values.dresidual, back.dx, rowGradient, "dresidual");
    expectClose(values.dweight, back.dweight, summed(rows, 16), "dweight");
  });
});

describe("rmsNorm", () => {
  it("reads the heads of a packed projection in place", async () => {
    const [tokens, heads, headDim] = [5, 3, 8] as const;
    const random = randoms(5);
    const packed = random.floats(tokens * (heads + 2) * headDim);
    const weight = random.floats(headDim);
    const { values, kernels } = await evaluate(gpu, () => ({
      y: rmsNorm(
        tensor(packed, [tokens, heads + 2, headDim]).slice(1, 1, 1 + heads),
        tensor(weight),
      ),
    }));
    const width = (heads + 2) * headDim;
    const x = packed.filter((_, i) => i % width >= headDim && i % width < (1 + heads) * headDim);
    const input = { rows: tokens * heads, cols: headDim, x, weight, eps };
    expectClose(values.y, oracle.rmsNorm(input).y, row);
    expect(kernels).toEqual([expect.stringContaining("rms-norm.wgsl")]);
  });

  it("adds the gradient of a residual stream inside its own gradient kernel", async () => {
    const random = randoms(6);
    const [x, dy, direct] = [random.floats(24), random.floats(24), random.floats(24)];
    const weight = random.floats(8);
    const { values, kernels } = await evaluate(gpu, () => {
      const input = tensor(x, [3, 8]);
      const pairs = [[rmsNorm(input, tensor(weight)), dy] as const, [input, direct] as const];
      return { dx: gradients(pairs, [input])[0] };
    });
    const back = oracle.rmsNormBackward({ rows: 3, cols: 8, x, weight, eps }, dy, direct);
    expectClose(values.dx, back.dx, rowGradient);
    expect(kernels.at(-1)).toContain("rms-norm-backward.wgsl");
  });

  it("gives zero gradient to the weight of no rows", async () => {
    const { values } = await evaluate(gpu, () => {
      const [x, weight] = [tensor(new Float32Array(0), [0, 4]), tensor([1, 2, 3, 4])];
      const y = rmsNorm(x, weight);
      return { y, dweight: gradients([[y, new Float32Array(0)]], [weight])[0] };
    });
    expect(values.y).toHaveLength(0);
    expect([...values.dweight]).toEqual([0, 0, 0, 0]);
  });

  it("refuses operands that do not fit", () => {
    const x = tensor(new Float32Array(6), [2, 3]);
    expect(codeOf(() => rmsNorm(x, tensor([1, 1])))).toBe("shape_mismatch");
    expect(codeOf(() => rmsNorm(x, tensor([[1, 1, 1]])))).toBe("shape_mismatch");
    expect(codeOf(() => addRmsNorm(x, tensor([1, 1, 1]), tensor([1, 1, 1])))).toBe(
      "shape_mismatch",
    );
    expect(codeOf(() => rmsNorm(tensor(1), tensor([1])))).toBe("rank_mismatch");
  });
});
