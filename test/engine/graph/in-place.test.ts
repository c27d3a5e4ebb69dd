import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  type Device,
  exp,
  matmul,
  mul,
  parameter,
  SGD,
  type State,
  slice,
  sub,
  sum,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { latestValue } from "../../../engine/tensor/state.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.read());

/** A parameter [1, 2] and an optimizer that subtracts the gradient from it, in place. */
function parameterAndOptimizer(): { p: State; optimizer: SGD } {
  const p = parameter([2], Float32Array.of(1, 2), "p");
  return { p, optimizer: new SGD(gpu, [p], { lr: 1 }) };
}

/** The parameter as it is after the step of the function being traced. */
const updated = (optimizer: SGD): Tensor => slice(latestValue(optimizer.flat.flat), 0, 0, 2);

describe("an update in place", () => {
  test("comes after everything that reads the old value, wherever that is written", async () => {
    const { p, optimizer } = parameterAndOptimizer();
    using step = compile((g: Tensor) => {
      const before = mul(p, 10);
      optimizer.step([g]);
      return { p, before, total: sum(p), after: exp(add(p, 1)), new: updated(optimizer) };
    });
    const out = await step(tensor([0.5, 0.25]));
    expect(await values(out.p)).toEqual([1, 2]);
    expect(await values(out.before)).toEqual([10, 20]);
    expect(await out.total.item()).toBe(3);
    expectClose(await out.after.read(), [Math.exp(2), Math.exp(3)], TOLERANCES.transcendental);
    expect(await values(out.new)).toEqual([0.5, 1.75]);
    expect(await values(p)).toEqual([0.5, 1.75]);
    expect(await values((await step(tensor([0, 0]))).p)).toEqual([0.5, 1.75]);
  });

  test("may be read as a gradient of itself", async () => {
    const { p, optimizer } = parameterAndOptimizer();
    using step = compile(() => ({ ...optimizer.step([mul(p, 0.5)]) }));
    await step();
    await step();
    expect(await values(p)).toEqual([0.25, 0.5]);
  });

  test.each<[string, (old: Tensor, next: Tensor) => Tensor, number[]]>([
    ["directly", (old, next) => sub(next, old), [-0.5, -0.25]],
    ["through a map", (old, next) => add(next, mul(old, 2)), [2.5, 5.75]],
    [
      "through a costly map",
      (old, next) => mul(next, exp(old)),
      [0.5 * Math.E, 1.75 * Math.exp(2)],
    ],
    ["through a view", (old, next) => add(slice(next, 0, 0, 1), slice(old, 0, 1)), [2.5]],
    [
      "through a reduction that ends with their sum",
      (old, next) => add(sum(next), sum(old)),
      [5.25],
    ],
    [
      "through a product that ends with their sum",
      (old, next) =>
        add(
          matmul(
            old.reshape([1, 2]),
            tensor([
              [1, 2],
              [3, 4],
            ]),
          ),
          next,
        ),
      [7.5, 11.75],
    ],
    ["through a view of a map", (old, next) => add(next, mul(old, 3).reshape([1, 2])), [3.5, 7.75]],
    ["through a reduction", (old, next) => add(next, sum(old)), [3.5, 4.75]],
  ])(
    "gives the right value or an error when old and new meet %s",
    async (_name, meet, expected) => {
      const { p, optimizer } = parameterAndOptimizer();
      using step = compile((g: Tensor) => {
        optimizer.step([g]);
        return meet(p, updated(optimizer));
      });
      const outcome = await step(tensor([0.5, 0.25])).then(
        (t) => values(t),
        (e: { code: string }) => e.code,
      );
      if (outcome !== "state_conflict") {
        expectClose(outcome as number[], expected, TOLERANCES.transcendental);
      }
    },
  );
});
