import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  type Device,
  exp,
  full,
  sum,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { errorOf, rejectionOf } from "../../support/errors.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.read());

describe("one-shot reads", () => {
  test("share a plan by structure, and give each its own values", async () => {
    const read = (n: number): Promise<number[]> => values(exp(add(tensor([0, 0]), n)));
    await read(0);
    const before = gpu.pipelines.size;
    const results = await Promise.all([1, 2, 3, 4].map(read));
    expect(gpu.pipelines.size).toBe(before);
    for (const [i, r] of results.entries()) {
      expectClose(r, [Math.exp(i + 1), Math.exp(i + 1)], TOLERANCES.transcendental);
    }
    const inputs = await Promise.all([1, 2, 3].map((n) => values(add(tensor([n]), tensor([n])))));
    expect(inputs).toEqual([[2], [4], [6]]);
  });

  test("of more structures at once than are kept all succeed", async () => {
    const reads = Array.from({ length: 80 }, (_, i) => values(add(full([i + 1], 1), 1)));
    const results = await Promise.all(reads);
    expect(results.map((r) => r.length)).toEqual(Array.from({ length: 80 }, (_, i) => i + 1));
    expect(results.every((r) => r.every((v) => v === 2))).toBe(true);
  });

  test("give host data back without a GPU, as a copy", async () => {
    const x = tensor([1, 2]);
    const first = await x.read();
    first[0] = 9;
    expect(await values(x)).toEqual([1, 2]);
  });
});

describe("item", () => {
  test("gives the one element as a number", async () => {
    expect(await sum(tensor([1, 2])).item()).toBe(3);
    expect(await tensor(Int32Array.of(-4)).item()).toBe(-4);
    expect(await rejectionOf(tensor([1, 2]).item())).toBe("shape_mismatch");
  });

  test("refuses NaN and infinities unless they are allowed, and names the op and the function", async () => {
    const zero = tensor([0]);
    const nan = sum(zero.div(tensor([0])));
    expect(await rejectionOf(nan.item())).toBe("non_finite");
    expect(await rejectionOf(tensor([Number.POSITIVE_INFINITY]).item())).toBe("non_finite");
    expect(await nan.item({ allowNonFinite: true })).toBeNaN();
    using step = compile((x: Tensor, y: Tensor) => ({ loss: sum(x.div(y)) }), {
      label: "train step",
    });
    const { message } = await errorOf((await step(zero, tensor([0]))).loss.item());
    expect(message).toMatch(/in "train step" is not finite/);
  });
});
