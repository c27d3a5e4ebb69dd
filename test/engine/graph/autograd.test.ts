import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  exp,
  full,
  grad,
  greater,
  matmul,
  mul,
  parameter,
  reshape,
  stopGradient,
  sum,
  type Tensor,
  tensor,
  valueAndGrad,
} from "../../../engine/index.ts";
import { array, count, differences, type NdArray } from "../../reference/array.ts";
import { codeOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { decode, describeProgram, type Program, run } from "../../support/programs.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

beforeAll(async () => {
  await device();
});

const SHAPES = [[2, 3], [3], [2, 1]];
const of = (x: NdArray): Tensor => tensor(Float32Array.from(x.data), x.shape);
const total = (x: NdArray): number => x.data.reduce((a, b) => a + b, 0);

/** Programs whose loss is the sum of their last two values, so that gradients of several paths meet. */
const programs = fc
  .array(fc.array(fc.nat(10_000), { minLength: 5, maxLength: 5 }), { minLength: 2, maxLength: 10 })
  .map((numbers) => decode("smooth", SHAPES, numbers, 1))
  .filter((p) => p.steps.length >= 2);

async function expectGradients(program: Program, seed: number): Promise<void> {
  const inputs = SHAPES.map((s) => array(s, randoms(seed).floats(count(s))));
  const loss = (...x: readonly NdArray[]): number =>
    run<NdArray>(program, x, (step, args) => step.value(...args))
      .slice(-2)
      .reduce((n, v) => n + total(v), 0);
  const expected = differences(loss, inputs);
  const tensors = inputs.map(of);
  const values = run<Tensor>(program, tensors, (step, args) => step.tensor(...args));
  const [a, b] = values.slice(-2).map((v) => sum(v)) as [Tensor, Tensor];
  const grads = grad(add(a, b), tensors);
  for (const [i, dx] of grads.entries()) {
    expect(dx.shape).toEqual(SHAPES[i]);
    expectClose(await dx.read(), expected[i]?.data ?? [], TOLERANCES.gradient, `input ${i}`);
  }
}

describe("grad", () => {
  test("equals central differences in f64, for random programs", async () => {
    const property = fc.asyncProperty(programs, fc.nat(1000), async (program, seed) => {
      try {
        await expectGradients(program, seed);
      } catch (cause) {
        throw new Error(`${String(cause)}\nin the program\n${describeProgram(program)}`, { cause });
      }
    });
    await fc.assert(property, { numRuns: 20, seed: 4 });
  });

  test("is zero for what the loss does not depend on, or an error when asked", async () => {
    const [x, y] = [tensor([1, 2]), tensor([3, 4])];
    const [dy] = grad(sum(x), [y]) as [Tensor];
    expect([...(await dy.read())]).toEqual([0, 0]);
    expect(codeOf(() => grad(sum(x), [y], { unused: "error" }))).toBe("gradient_missing");
  });

  test("stops at stopGradient and at comparisons", async () => {
    const x = tensor([1, 2]);
    const y = mul(stopGradient(x), x).add(greater(x, 1).cast("f32"));
    const [dx] = grad(sum(y), [x]) as [Tensor];
    expect([...(await dx.read())]).toEqual([1, 2]);
  });

  test("takes the gradient of a value in the middle, and of the loss itself", async () => {
    const x = tensor([0.5, 1]);
    const y = exp(x);
    const loss = sum(mul(y, y));
    const [dy, dloss] = grad(loss, [y, loss]) as [Tensor, Tensor];
    expectClose(await dy.read(), [2 * Math.exp(0.5), 2 * Math.exp(1)], TOLERANCES.chain);
    expect(await dloss.item()).toBe(1);
  });

  test("starts from a seed for a loss of many elements", async () => {
    const x = tensor([1, 2, 3]);
    const [dx] = grad(mul(x, x), [x], { seed: tensor([1, 10, 100]) }) as [Tensor];
    expect([...(await dx.read())]).toEqual([2, 40, 600]);
  });

  test("adds up what comes over many paths", async () => {
    const x = parameter([1], Float32Array.of(2), "x");
    let y: Tensor = x;
    for (let i = 0; i < 10; i++) y = add(y, y);
    const [dx] = grad(sum(y), [x]) as [Tensor];
    expect(await dx.item()).toBe(1024);
  });

  test("differentiates its own gradients", async () => {
    const x = tensor([0.3]);
    const [dx] = grad(sum(exp(mul(x, x))), [x]) as [Tensor];
    const [ddx] = grad(sum(dx), [x]) as [Tensor];
    expectClose(await ddx.read(), [(2 + 4 * 0.09) * Math.exp(0.09)], TOLERANCES.chain);
  });

  test("walks a chain of 3,000 ops without running out of stack", async () => {
    const x = tensor([1]);
    let y: Tensor = x;
    for (let i = 0; i < 3000; i++) y = add(y, 1);
    const [dx] = grad(sum(y), [x]) as [Tensor];
    expect([await y.item(), await dx.item()]).toEqual([3001, 1]);
  });

  test("refuses a loss of several elements or of integers, and a seed that does not fit", () => {
    const x = tensor([1, 2]);
    expect(codeOf(() => grad(x, [x]))).toBe("shape_mismatch");
    expect(codeOf(() => grad(sum(tensor(Int32Array.of(1))), [x]))).toBe("dtype_mismatch");
    expect(codeOf(() => grad(x, [x], { seed: tensor([1]) }))).toBe("shape_mismatch");
    expect(codeOf(() => grad(x, [x], { seed: tensor(Int32Array.of(1, 2)) }))).toBe(
      "dtype_mismatch",
    );
  });
});

describe("valueAndGrad", () => {
  test("gives the value with the gradients", async () => {
    const w = tensor([
      [1, 2],
      [3, 4],
    ]);
    const x = full([1, 2], 1);
    const { value, grads } = valueAndGrad(() => sum(reshape(matmul(x, w), [2])), [w]);
    expect(await value.item()).toBe(10);
    expect([...(await (grads[0] as Tensor).read())]).toEqual([1, 1, 1, 1]);
  });
});
