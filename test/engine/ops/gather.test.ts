import { beforeAll, describe, expect, it } from "vitest";
import { type Device, oneHot, take, takeAlongAxis, tensor } from "../../../engine/index.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { evaluate, gradients } from "../../support/evaluate.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

describe("takeAlongAxis", () => {
  it.each([
    [1, 1, 1],
    [5, 7, 3],
    [4, 8, 12],
    [3, 65, 1],
  ])(
    "picks from %i rows of %i elements %i each, and gives the gradient back",
    async (rows, cols, count) => {
      const random = randoms(rows * 100 + cols);
      const x = random.floats(rows * cols);
      const indices = random.integers(rows * count, 0, cols);
      const dy = random.floats(rows * count);
      const { values } = await evaluate(gpu, () => {
        const input = tensor(x, [rows, cols]);
        const y = takeAlongAxis(input, tensor(indices, [rows, count]));
        return { y, dx: gradients([[y, dy]], [input])[0] };
      });
      const dx = new Float64Array(rows * cols);
      const y = Array.from(indices, (c, i) => {
        const at = Math.floor(i / count) * cols + c;
        dx[at] = Number(dx[at]) + Number(dy[i]);
        return Number(x[at]);
      });
      expectClose(values.y, y, TOLERANCES.exact, "y");
      expectClose(values.dx, dx, summed(count), "dx");
    },
  );

  it("works along any axis, on views, on integers, inside other kernels", async () => {
    const x = tensor(new Int32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
    const columns = tensor(new Uint32Array([1, 0, 1, 0, 1, 0]), [2, 3]);
    const { values, kernels } = await evaluate(gpu, () => ({
      down: takeAlongAxis(x, columns, 0).mul(10),
      turned: takeAlongAxis(x.transpose(), columns.transpose(), -1).add(1),
    }));
    expect([...values.down]).toEqual([40, 20, 60, 10, 50, 30]);
    expect([...values.turned]).toEqual([5, 2, 3, 6, 7, 4]);
    expect(kernels).toHaveLength(2);
  });

  it("keeps indices beyond the axis at its end, without a gradient", async () => {
    const indices = tensor(new Int32Array([0, 3, -1]));
    const { values } = await evaluate(gpu, () => {
      const x = tensor([1, 2, 3]);
      const y = takeAlongAxis(x, indices);
      return { y, dx: gradients([[y, new Float32Array([1, 10, 100])]], [x])[0] };
    });
    expect([...values.y]).toEqual([1, 3, 3]);
    expect([...values.dx]).toEqual([1, 0, 0]);
  });

  it("refuses indices that do not fit", () => {
    const x = tensor([
      [1, 2],
      [3, 4],
    ]);
    expect(codeOf(() => takeAlongAxis(x, tensor(new Uint32Array(2))))).toBe("shape_mismatch");
    expect(codeOf(() => takeAlongAxis(x, tensor(new Uint32Array(3), [3, 1])))).toBe(
      "shape_mismatch",
    );
    expect(codeOf(() => takeAlongAxis(x, tensor([[0], [1]])))).toBe("dtype_mismatch");
    expect(codeOf(() => takeAlongAxis(x, x, 2))).toBe("rank_mismatch");
  });
});

describe("oneHot", () => {
  it("has 1 at the index, and nothing for an index outside", async () => {
    const y = oneHot(tensor(new Int32Array([2, 0, -1, 3]), [2, 2]), 3);
    expect(y.shape).toEqual([2, 2, 3]);
    expect([...(await y.read())]).toEqual([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("refuses indices that are no integers", () => {
    expect(codeOf(() => oneHot(tensor([0]), 2))).toBe("dtype_mismatch");
  });
});

describe("take", () => {
  it("picks rows of any rank, and sums their gradient", async () => {
    const ids = tensor(new Uint32Array([1, 1, 0]));
    const dy = new Float32Array(12).map((_, i) => i);
    const { values } = await evaluate(gpu, () => {
      const x = tensor(new Float32Array([1, 2, 3, 4, 5, 6, 7, 8]), [2, 2, 2]);
      const y = take(x, ids);
      return { y, dx: gradients([[y, dy]], [x])[0] };
    });
    expect([...values.y]).toEqual([5, 6, 7, 8, 5, 6, 7, 8, 1, 2, 3, 4]);
    expect([...values.dx]).toEqual([8, 9, 10, 11, 4, 6, 8, 10]);
  });

  it("reports a position outside at the next read", async () => {
    const y = take(tensor([[1], [2]]), tensor(new Uint32Array([2])));
    expect(await rejectionOf(y.read())).toBe("index_out_of_range");
  });
});
