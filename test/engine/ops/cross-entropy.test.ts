import { beforeAll, describe, expect, it } from "vitest";
import { crossEntropy, type Device, tensor } from "../../../engine/index.ts";
import { crossEntropyBackward } from "../../reference/cross-entropy.ts";
import { lmHead } from "../../reference/lm-head.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const { row, rowGradient } = TOLERANCES;

describe.each(KERNEL_CLASSES)("crossEntropy by %s kernels", (kernels) => {
  // a gradient kernel takes 16 or 256 numbers of a row at once, in vectors where 4 divides the row
  it.each([
    [1, 1],
    [7, 15],
    [9, 65],
    [3, 1028],
  ])("agrees with f64 for %i rows of %i logits", async (rows, cols) => {
    const random = randoms(rows * 1000 + cols);
    const logits = random.floats(rows * cols, -6, 6);
    const labels = random.integers(rows, 0, cols).map((id, i) => (i % 4 === 3 ? -1 : id));
    const dy = random.floats(rows);
    const { values } = await evaluate(
      gpu,
      () => {
        const x = tensor(logits, [rows, cols]);
        const ids = tensor(labels);
        const each = crossEntropy(x, ids, { reduction: "none" });
        const [deach] = gradients([[each, dy]], [x]);
        const mean = crossEntropy(x, ids);
        const [dmean] = gradients([[mean, new Float32Array([1])]], [x]);
        return { each, deach, mean, dmean, total: crossEntropy(x, ids, { reduction: "sum" }) };
      },
      kernels,
    );
    const input = { logits, labels, cols };
    const { logprob } = lmHead(input, { softcap: 0, temperature: 1 });
    const total = logprob.reduce((a, b) => a - b, 0);
    const count = labels.filter((id) => id >= 0).length;
    expectClose(
      values.each,
      logprob.map((v) => -v),
      row,
      "none",
    );
    expectClose(values.total, [total], row, "sum");
    expectClose(values.mean, [total / count], row, "mean");
    const weights = (w: (i: number) => number) => Float64Array.from(labels, (_, i) => -w(i));
    const deach = crossEntropyBackward(
      input,
      weights((i) => Number(dy[i])),
    );
    expectClose(values.deach, deach, rowGradient, "gradient of none");
    const dmean = crossEntropyBackward(
      input,
      weights(() => 1 / count),
    );
    expectClose(values.dmean, dmean, rowGradient, "gradient of mean");
  });
});

describe("crossEntropy", () => {
  it("is 0, with zero gradient, when no row has a label", async () => {
    const { values } = await evaluate(gpu, () => {
      const x = tensor([
        [1, 2, 3],
        [3, 2, 1],
      ]);
      const loss = crossEntropy(x, tensor(new Uint32Array([3, 0xffff_ffff])));
      return { loss, dx: gradients([[loss, new Float32Array([1])]], [x])[0] };
    });
    expect([...values.loss]).toEqual([0]);
    expect([...values.dx].map(Math.abs)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("stays finite for logits that overflow an exponential, and for masked ones", async () => {
    const x = new Float32Array([1000, 990, -1e30, 5, -1e30, 5]);
    const loss = crossEntropy(tensor(x, [2, 3]), tensor(new Uint32Array([1, 2])), {
      reduction: "none",
    });
    const input = { logits: x, labels: [1, 2], cols: 3 };
    const { logprob } = lmHead(input, { softcap: 0, temperature: 1 });
    expectClose(
      await loss.read(),
      logprob.map((v) => -v),
      row,
    );
  });

  it("refuses operands that do not fit", () => {
    const x = tensor([[1, 2, 3]]);
    expect(codeOf(() => crossEntropy(x, tensor(new Uint32Array(2))))).toBe("shape_mismatch");
    expect(codeOf(() => crossEntropy(tensor([1, 2]), tensor(new Uint32Array(2))))).toBe(
      "shape_mismatch",
    );
    expect(codeOf(() => crossEntropy(x, tensor([0])))).toBe("dtype_mismatch");
  });
});
