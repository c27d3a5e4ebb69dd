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
    const [x, weight, dy] = [rows * cols, cols, rows * cols].map((n) => random.floats(n, -2, 2));
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
    const size = rows * cols;
    const [x, residual, dy, dsum] = [0, 1, 2, 3].map(() => random.floats(size, -2, 2));
    const weight = random.floats(cols, 0.5, 1.5);
    const { values } = await evaluate(
      gpu,
      () => {
        const [a, b, scale] = [tensor(x, [rows, cols]), tensor(residual, [rows, cols]), tensor(weight)];
        const [y, total] = addRmsNorm(a, b, scale);
        const pairs = [[y, dy], [total, dsum]] as const;
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
