import { beforeAll, describe, expect, test } from "vitest";
import {
  compile,
  type Device,
  fromHalf,
  grad,
  type Tensor,
  tensor,
  toHalf,
} from "../../../engine/index.ts";
import {
  abs,
  add,
  ceil,
  cos,
  div,
  exp,
  floor,
  gelu,
  log,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  reciprocal,
  relu,
  remainder,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
} from "../../../engine/ops/elementwise.ts";
import { derivative, ELEMENTWISE, type Scalar } from "../../reference/elementwise.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES, type Tolerance } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

type Range = readonly [number, number];
interface Row {
  readonly op: (...x: Tensor[]) => Tensor;
  readonly ranges: readonly Range[];
  readonly tolerance: Tolerance;
  /** Tolerance of the gradient; `zero` for steps, whose gradient is 0 by definition. */
  readonly gradient: Tolerance | "zero";
  /** Arguments that the gradient flows to. Default: all. */
  readonly differentiable?: readonly number[];
}

const unary =
  (op: (x: Tensor) => Tensor): Row["op"] =>
  (x) =>
    op(x as Tensor);
const binary =
  (op: (a: Tensor, b: Tensor) => Tensor): Row["op"] =>
  (a, b) =>
    op(a as Tensor, b as Tensor);

const { exact, arithmetic, division, transcendental, trigonometric, power, chain } = TOLERANCES;
const ANY: Range = [-4, 4];
const POSITIVE: Range = [0.1, 6];

const ROWS: Readonly<Record<keyof typeof ELEMENTWISE, Row>> = {
  add: { op: binary(add), ranges: [ANY, ANY], tolerance: arithmetic, gradient: chain },
  sub: { op: binary(sub), ranges: [ANY, ANY], tolerance: arithmetic, gradient: chain },
  mul: { op: binary(mul), ranges: [ANY, ANY], tolerance: arithmetic, gradient: chain },
  div: { op: binary(div), ranges: [ANY, [0.5, 3]], tolerance: division, gradient: chain },
  maximum: { op: binary(maximum), ranges: [ANY, ANY], tolerance: exact, gradient: chain },
  minimum: { op: binary(minimum), ranges: [ANY, ANY], tolerance: exact, gradient: chain },
  pow: {
    op: binary(pow),
    ranges: [
      [0.2, 3],
      [-2, 3],
    ],
    tolerance: power,
    gradient: chain,
  },
  // the oracle divides exactly, the kernel by WGSL's rule a − b·trunc(a / b)
  remainder: {
    op: binary(remainder),
    ranges: [
      [-9, 9],
      [1.25, 1.75],
    ],
    tolerance: { abs: 4e-6, rel: 0 },
    gradient: chain,
    differentiable: [0],
  },
  neg: { op: unary(neg), ranges: [ANY], tolerance: exact, gradient: chain },
  abs: { op: unary(abs), ranges: [ANY], tolerance: exact, gradient: chain },
  sign: { op: unary(sign), ranges: [ANY], tolerance: exact, gradient: "zero" },
  floor: { op: unary(floor), ranges: [ANY], tolerance: exact, gradient: "zero" },
  ceil: { op: unary(ceil), ranges: [ANY], tolerance: exact, gradient: "zero" },
  round: { op: unary(round), ranges: [ANY], tolerance: exact, gradient: "zero" },
  square: { op: unary(square), ranges: [ANY], tolerance: arithmetic, gradient: chain },
  sqrt: { op: unary(sqrt), ranges: [POSITIVE], tolerance: division, gradient: chain },
  rsqrt: { op: unary(rsqrt), ranges: [POSITIVE], tolerance: division, gradient: chain },
  reciprocal: { op: unary(reciprocal), ranges: [POSITIVE], tolerance: division, gradient: chain },
  exp: { op: unary(exp), ranges: [ANY], tolerance: transcendental, gradient: chain },
  log: { op: unary(log), ranges: [POSITIVE], tolerance: transcendental, gradient: chain },
  sin: { op: unary(sin), ranges: [[-3, 3]], tolerance: trigonometric, gradient: trigonometric },
  cos: { op: unary(cos), ranges: [[-3, 3]], tolerance: trigonometric, gradient: trigonometric },
  tanh: { op: unary(tanh), ranges: [ANY], tolerance: chain, gradient: chain },
  sigmoid: { op: unary(sigmoid), ranges: [ANY], tolerance: chain, gradient: chain },
  relu: { op: unary(relu), ranges: [ANY], tolerance: exact, gradient: chain },
  silu: { op: unary(silu), ranges: [ANY], tolerance: chain, gradient: chain },
  gelu: { op: unary(gelu), ranges: [ANY], tolerance: chain, gradient: chain },
  softplus: { op: unary(softplus), ranges: [ANY], tolerance: chain, gradient: chain },
};

/** Values away from the kinks of the rows: no integers, no zeros, no ties. */
function inputsOf(row: Row, count: number): Float32Array[] {
  const random = randoms(11);
  return row.ranges.map(([low, high]) => {
    const values = random.floats(count, low, high);
    return values.map((x) => (Math.abs(x - Math.round(x)) < 0.02 ? x + 0.05 : x));
  });
}

describe.each(Object.entries(ROWS))("%s", (name, row) => {
  const fn: Scalar = ELEMENTWISE[name as keyof typeof ELEMENTWISE];

  test("equals f64 in value and gradient", async () => {
    const inputs = inputsOf(row, 36);
    const seed = randoms(5).floats(36);
    const wrt = row.differentiable ?? row.ranges.map((_, i) => i);
    using run = compile((x: Tensor[], dy: Tensor) => {
      const y = row.op(...x);
      const grads = grad(
        y,
        wrt.map((i) => x[i] as Tensor),
        { seed: dy },
      );
      return { y, grads };
    });
    const { y, grads } = await run(
      inputs.map((x) => tensor(x)),
      tensor(seed),
    );
    const at = (i: number): number[] => inputs.map((x) => x[i] as number);
    expectClose(
      await y.read(),
      seed.map((_, i) => fn(...at(i))),
      row.tolerance,
      "value",
    );
    for (const [n, argument] of wrt.entries()) {
      const expected = Array.from(seed, (dy, i) =>
        row.gradient === "zero" ? 0 : dy * derivative(fn, at(i), argument),
      );
      const tolerance = row.gradient === "zero" ? exact : row.gradient;
      const actual = await (grads[n] as Tensor).read();
      expectClose(actual, expected, tolerance, `gradient ${argument}`);
    }
  });

  test("equals f64 for a count that is no multiple of four", async () => {
    const inputs = inputsOf(row, 35);
    const y = await row.op(...inputs.map((x) => tensor(x))).read();
    const expected = Array.from(y, (_, i) => fn(...inputs.map((x) => x[i] as number)));
    expectClose(y, expected, row.tolerance);
  });

  test("works in f16 where the adapter has it", async ({ skip }) => {
    if (!gpu.hasF16) skip("the adapter has no f16");
    const halves = inputsOf(row, 36).map((x) => Uint16Array.from(x, toHalf));
    const y = await row.op(...halves.map((x) => tensor(x))).read();
    const expected = Array.from(y, (_, i) => fn(...halves.map((x) => fromHalf(x[i] as number))));
    const tolerance = row.tolerance === exact ? exact : { abs: 2e-3, rel: 8 * 2 ** -11 };
    if (name !== "remainder") expectClose(Array.from(y, fromHalf), expected, tolerance);
  });
});

describe("the table", () => {
  test("covers every exported elementwise op", async () => {
    const comparisons = ["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual"];
    const others = ["clamp", "where", "finiteMask", "stopGradient", "cast", "bitcast"];
    const inTypesTest = [...comparisons, ...others]; // elementwise-types.test.ts
    const exported = Object.keys(await import("../../../engine/ops/elementwise.ts"));
    expect(new Set([...Object.keys(ROWS), ...inTypesTest])).toEqual(new Set(exported));
  });
});

describe("saturation and special values", () => {
  test("tanh and sigmoid saturate without NaN", async () => {
    const x = tensor([-1e30, -100, -20, 0, 20, 100, 1e30]);
    expectClose(await tanh(x).read(), [-1, -1, -1, 0, 1, 1, 1], chain);
    expectClose(await sigmoid(x).read(), [0, 0, 2.061e-9, 0.5, 1, 1, 1], chain);
  });

  test("softplus neither overflows nor loses small values", async () => {
    expectClose(
      await softplus(tensor([-80, -20, 80, 1e30])).read(),
      [0, 2.061e-9, 80, 1e30],
      chain,
    );
    const x = tensor([-80, -20, 0, 20]);
    const [dx] = grad(softplus(x).sum(), [x]) as [Tensor];
    expectClose(await dx.read(), [0, 2.061e-9, 0.5, 1], chain);
  });

  test("the gradient goes to the first operand on ties, and is 0 at the kink of abs", async () => {
    const [a, b] = [tensor([1, 2]), tensor([1, 2])];
    for (const op of [maximum, minimum]) {
      const [da, db] = grad(op(a, b).sum(), [a, b]) as [Tensor, Tensor];
      expect([...(await da.read())]).toEqual([1, 1]);
      expect([...(await db.read())]).toEqual([0, 0]);
    }
    const zero = tensor([0]);
    expect([...(await (grad(abs(zero).sum(), [zero])[0] as Tensor).read())]).toEqual([0]);
  });
});
