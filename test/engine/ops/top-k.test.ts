import { beforeAll, describe, expect, it } from "vitest";
import { type Device, tensor, topK } from "../../../engine/index.ts";
import * as oracle from "../../reference/top-k.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients, KERNEL_CLASSES } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { ROW_CASES, rowTensor } from "../../support/row-cases.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe.each(KERNEL_CLASSES)("topK by %s kernels", (kernels) => {
  it.each(ROW_CASES[kernels])("agrees with a stable sort at $name", async (at) => {
    const { rows, cols } = at;
    const random = randoms(rows * 1000 + cols);
    // one row in three has ties
    const x = random
      .floats(rows * cols, -9, 9)
      .map((v, i) => (Math.floor(i / cols) % 3 ? v : Math.round(v)));
    const counts = [...new Set([1, Math.min(5, cols), Math.min(64, cols), Math.min(70, cols)])];
    for (const k of counts) {
      const dvalues = random.floats(rows * k);
      const { values } = await evaluate(
        gpu,
        () => {
          const input = rowTensor(x, at);
          const top = topK(input, k);
          return { ...top, dx: gradients([[top.values, dvalues]], [input])[0] };
        },
        kernels,
      );
      const expected = oracle.topK(rows, cols, k, x);
      const dx = oracle.topKBackward(rows, cols, k, expected.indices, dvalues);
      expectClose(values.values, expected.values, TOLERANCES.exact, `${k} values`);
      expect([...values.indices]).toEqual([...expected.indices]);
      expectClose(values.dx, dx, TOLERANCES.exact, `dx of ${k}`);
    }
  });
});

describe("topK", () => {
  it("works along any axis", async () => {
    const { values, indices } = topK(
      tensor([
        [1, 5],
        [4, 2],
        [3, 9],
      ]),
      2,
      0,
    );
    expect(values.shape).toEqual([2, 2]);
    expect([...(await values.read())]).toEqual([4, 9, 3, 5]);
    expect([...(await indices.read())]).toEqual([1, 2, 2, 0]);
  });

  it("gives nothing for k = 0, and refuses more than there is", async () => {
    const x = tensor([1, 2, 3]);
    expect(await topK(x, 0).values.read()).toHaveLength(0);
    expect(codeOf(() => topK(x, 4))).toBe("argument_invalid");
    expect(codeOf(() => topK(x, 1.5))).toBe("argument_invalid");
    expect(codeOf(() => topK(tensor(1), 1))).toBe("rank_mismatch");
  });
});
