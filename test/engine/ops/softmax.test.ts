import { beforeAll, describe, expect, it } from "vitest";
import { type Device, logSoftmax, logSumExp, softmax, tensor } from "../../../engine/index.ts";
import * as oracle from "../../reference/softmax.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { ROW_CASES, rowTensor } from "../../support/row-cases.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("softmax, logSoftmax and logSumExp by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agree with f64 at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    const x = random.floats(rows * cols, -6, 6);
    const dy = random.floats(rows * cols);
    const dlse = random.floats(rows);
    const { values, kernels: ran } = await evaluate(
      gpu,
      () => {
        const input = rowTensor(x, at);
        const [y, log, lse] = [softmax(input), logSoftmax(input), logSumExp(input)];
        const [dsoftmax] = gradients([[y, dy]], [input]);
        const [dlog] = gradients([[log, dy]], [input]);
        const [dlogSumExp] = gradients([[lse, dlse]], [input]);
        return { y, log, lse, dsoftmax, dlog, dlogSumExp };
      },
      kernels,
    );
    const { row, rowGradient } = TOLERANCES;
    const { softmaxBackward, logSoftmaxBackward, logSumExpBackward } = oracle;
    expectClose(values.y, oracle.softmax(rows, cols, x), row, "softmax");
    expectClose(values.log, oracle.logSoftmax(rows, cols, x), row, "logSoftmax");
    expectClose(values.lse, oracle.logSumExp(rows, cols, x), row, "logSumExp");
    expectClose(values.dsoftmax, softmaxBackward(rows, cols, x, dy), rowGradient, "dsoftmax");
    expectClose(values.dlog, logSoftmaxBackward(rows, cols, x, dy), rowGradient, "dlogSoftmax");
    expectClose(values.dlogSumExp, logSumExpBackward(rows, cols, x, dlse), rowGradient, "dlse");
    expect(ran).toContain(`softmax.wgsl:softmax${kernels === "hardware" ? "_workgroup" : ""}`);
    expect(ran).not.toContain("map:copy");
  });
});

describe("softmax", () => {
  it("stays finite for large numbers and gives nothing to masked ones", async () => {
    const x = new Float32Array([
      80, -1e30, 79, -1e30, 1e4, 1e4, -1e30, -1e30, -1e30, -1e30, 3e4, -3e4,
    ]);
    const build = () => {
      const input = tensor(x, [3, 4]);
      return { y: softmax(input), log: logSoftmax(input), lse: logSumExp(input) };
    };
    const { values } = await evaluate(gpu, build);
    expectClose(values.y, oracle.softmax(3, 4, x), TOLERANCES.row, "softmax");
    expectClose(values.log, oracle.logSoftmax(3, 4, x), TOLERANCES.row, "logSoftmax");
    expectClose(values.lse, oracle.logSumExp(3, 4, x), TOLERANCES.row, "logSumExp");
  });

  it("takes more rows than a dispatch has workgroups in one dimension", async () => {
    const rows = 65_537;
    const x = randoms(2).floats(rows);
    const build = () => ({ lse: logSumExp(tensor(x, [rows, 1])) });
    const { values } = await evaluate(gpu, build, "hardware");
    expectClose(values.lse, x, TOLERANCES.row);
  });

  it("works along any axis", async () => {
    const [outer, cols, inner] = [2, 5, 3] as const;
    const random = randoms(3);
    const x = random.floats(outer * cols * inner, -3, 3);
    const dy = random.floats(x.length);
    const { values } = await evaluate(gpu, () => {
      const input = tensor(x, [outer, cols, inner]);
      const y = softmax(input, 1);
      const lse = logSumExp(input, -2, { keepDims: true });
      return { y, lse, dx: gradients([[y, dy]], [input])[0] };
    });
    const turned = (data: ArrayLike<number>, from: number, to: number): Float64Array =>
      Float64Array.from({ length: data.length }, (_, i) => {
        const [a, b, c] = [Math.floor(i / (from * to)), Math.floor(i / to) % from, i % to];
        return Number(data[(a * to + c) * from + b]);
      });
    const rows = turned(x, inner, cols);
    const back = (data: ArrayLike<number>) => turned(data, cols, inner);
    const drows = oracle.softmaxBackward(outer * inner, cols, rows, turned(dy, inner, cols));
    expectClose(values.y, back(oracle.softmax(outer * inner, cols, rows)), TOLERANCES.row);
    expectClose(values.lse, oracle.logSumExp(outer * inner, cols, rows), TOLERANCES.row);
    expectClose(values.dx, back(drows), TOLERANCES.rowGradient);
  });

  it("takes tensors without rows", async () => {
    const { values } = await evaluate(gpu, () => ({
      none: softmax(tensor(new Float32Array(0), [0, 4])),
      noRows: logSumExp(tensor(new Float32Array(0), [0, 4])),
      one: softmax(tensor([[0, 0]])),
    }));
    expect(values.none).toHaveLength(0);
    expect(values.noRows).toHaveLength(0);
    expect([...values.one]).toEqual([0.5, 0.5]);
  });

  it("refuses an axis that is not there, and to reduce one without elements", () => {
    expect(codeOf(() => softmax(tensor([1, 2]), 1))).toBe("rank_mismatch");
    expect(codeOf(() => logSumExp(tensor(new Float32Array(0), [2, 0])))).toBe("shape_mismatch");
  });
});
