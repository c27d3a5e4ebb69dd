import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  bitcast,
  cast,
  clamp,
  compile,
  type Device,
  div,
  equal,
  exp,
  finiteMask,
  floor,
  fromHalf,
  grad,
  greater,
  greaterEqual,
  less,
  lessEqual,
  maximum,
  minimum,
  mul,
  neg,
  notEqual,
  type Operand,
  pow,
  remainder,
  sign,
  stopGradient,
  sub,
  Tensor,
  tensor,
  toHalf,
  where,
} from "../../../engine/index.ts";
import { codeOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.read());
const i32 = (...x: number[]): Tensor => tensor(Int32Array.from(x));
const u32 = (...x: number[]): Tensor => tensor(Uint32Array.from(x));

type Binary = (a: Operand, b: Operand) => Tensor;
const ARITHMETIC: readonly [string, Binary, (a: number, b: number) => number][] = [
  ["add", add, (a, b) => a + b],
  ["sub", sub, (a, b) => a - b],
  ["mul", mul, (a, b) => Math.imul(a, b)],
  ["div", div, (a, b) => Math.trunc(a / b)],
  ["remainder", remainder, (a, b) => a % b],
  ["maximum", maximum, Math.max],
  ["minimum", minimum, Math.min],
];
const COMPARISONS: readonly [string, Binary, (a: number, b: number) => boolean][] = [
  ["equal", equal, (a, b) => a === b],
  ["notEqual", notEqual, (a, b) => a !== b],
  ["less", less, (a, b) => a < b],
  ["lessEqual", lessEqual, (a, b) => a <= b],
  ["greater", greater, (a, b) => a > b],
  ["greaterEqual", greaterEqual, (a, b) => a >= b],
];

describe("integers", () => {
  const A = [7, -7, 0, 2 ** 31 - 1, -(2 ** 31), 65537, 12, -1];
  const B = [2, 3, 5, 1, 2, 65537, -4, 7];

  test.each(ARITHMETIC)("%s wraps and truncates as i32", async (_name, op, fn) => {
    const y = await op(i32(...A), i32(...B)).read();
    expect(y).toEqual(Int32Array.from(A, (a, i) => fn(a, B[i] as number) | 0));
  });

  test.each(ARITHMETIC)("%s wraps and truncates as u32", async (_name, op, fn) => {
    const unsigned = (x: number[]): number[] => x.map((v) => v >>> 0);
    const [a, b] = [unsigned(A), unsigned(B)];
    const y = await op(u32(...a), u32(...b)).read();
    expect(y).toEqual(Uint32Array.from(a, (x, i) => fn(x, b[i] as number) >>> 0));
  });

  test("have a sign and can be negated", async () => {
    expect(await values(sign(i32(-5, 0, 9)))).toEqual([-1, 0, 1]);
    expect(await values(neg(i32(-5, 0, 9)))).toEqual([5, 0, -9]);
  });

  test("are refused where an op has no meaning for them", () => {
    for (const op of [exp, floor] as const) {
      expect(codeOf(() => op(i32(1)))).toBe("dtype_unsupported");
    }
    expect(codeOf(() => pow(i32(2), 3))).toBe("dtype_unsupported");
    expect(codeOf(() => neg(u32(1)))).toBe("dtype_unsupported");
  });

  test("mix with nothing but integers of their kind and numbers that they can hold", async () => {
    expect(codeOf(() => add(i32(1), tensor([1])))).toBe("dtype_mismatch");
    expect(codeOf(() => add(i32(1), u32(1)))).toBe("dtype_mismatch");
    expect(codeOf(() => mul(i32(1), 0.5))).toBe("dtype_mismatch");
    expect(codeOf(() => less(u32(1), -1))).toBe("dtype_mismatch");
    expect(codeOf(() => i32(1, 2).mean())).toBe("dtype_mismatch");
    expect(await values(add(i32(1), -3))).toEqual([-2]);
  });
});

describe.each(COMPARISONS)("%s", (_name, op, fn) => {
  test("gives 1 or 0 as u32, for every dtype", async () => {
    const [a, b] = [
      [1, 2, 3, 2],
      [2, 2, 2, 3],
    ];
    const expected = Uint32Array.from(a, (x, i) => Number(fn(x, b[i] as number)));
    for (const make of [i32, u32, (...x: number[]): Tensor => tensor(x)]) {
      expect(await op(make(...a), make(...b)).read()).toEqual(expected);
    }
    expect(await op(tensor(a), 2).read()).toEqual(Uint32Array.from(a, (x) => Number(fn(x, 2))));
  });
});

describe("cast", () => {
  test("truncates floats towards zero and keeps integers that f32 can hold", async () => {
    expect(await values(cast(tensor([-1.9, -0.5, 0.5, 1.9, 1e6]), "i32"))).toEqual([
      -1, 0, 0, 1, 1e6,
    ]);
    expect(await values(cast(tensor([0.9, 4e9]), "u32"))).toEqual([0, 4e9]);
    expect(await values(cast(i32(-3, 2 ** 24), "f32"))).toEqual([-3, 2 ** 24]);
    expect(await values(cast(u32(2 ** 31), "f32"))).toEqual([2 ** 31]);
  });

  test("keeps the bits between i32 and u32", async () => {
    expect(await values(cast(i32(-1), "u32"))).toEqual([2 ** 32 - 1]);
    expect(await values(cast(u32(2 ** 32 - 2), "i32"))).toEqual([-2]);
  });

  test("lets gradients through between floats only", async () => {
    const x = tensor([1.5]);
    const [dx] = grad(mul(cast(cast(x, "i32"), "f32"), x).sum(), [x]) as [Tensor];
    expect(await values(dx)).toEqual([1]);
  });

  test("to f16 rounds to nearest and back is exact, where the adapter has f16", async ({
    skip,
  }) => {
    if (!gpu.hasF16) skip("the adapter has no f16");
    const x = randoms(2).floats(64, -100, 100);
    const half = await cast(tensor(x), "f16").read();
    const back = await cast(cast(tensor(x), "f16"), "f32").read();
    expect(half).toEqual(Uint16Array.from(x, toHalf));
    expect(back).toEqual(Float32Array.from(half, fromHalf));
  });
});

describe("bitcast", () => {
  test("keeps the 32 bits", async () => {
    expect(await values(bitcast(tensor([1, -2]), "u32"))).toEqual([0x3f800000, 0xc0000000]);
    expect(await values(bitcast(u32(0x3fc00000), "f32"))).toEqual([1.5]);
  });
});

describe("finiteMask", () => {
  test("is 0 for NaN and infinities of either sign", async () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    expect(await values(finiteMask(tensor([0, nan, inf, -inf, 3e38, -1e-45])))).toEqual([
      1, 0, 0, 0, 1, 1,
    ]);
  });
});

describe("where", () => {
  test("chooses by the condition, of any dtype, and broadcasts all three", async () => {
    const condition = tensor([[1], [0]]);
    const y = where(condition, tensor([1, 2, 3]), -1);
    expect(y.shape).toEqual([2, 3]);
    expect(await values(y)).toEqual([1, 2, 3, -1, -1, -1]);
    expect(await values(where(u32(0, 7), 5, tensor([1, 2])))).toEqual([1, 5]);
    expect(await values(where(u32(0, 1), 5, 6))).toEqual([6, 5]);
  });

  test("sends the gradient to what was chosen", async () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    const [da, db] = grad(where(u32(1, 0), a, b).sum(), [a, b]) as [Tensor, Tensor];
    expect([await values(da), await values(db)]).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });
});

describe("clamp", () => {
  test("keeps values within bounds, with no gradient outside", async () => {
    const x = tensor([-2, -0.5, 0.5, 2]);
    expect(await values(clamp(x, -1, 1))).toEqual([-1, -0.5, 0.5, 1]);
    const [dx] = grad(clamp(x, -1, 1).sum(), [x]) as [Tensor];
    expect(await values(dx)).toEqual([0, 1, 1, 0]);
  });
});

describe("stopGradient", () => {
  test("keeps the value and drops the gradient", async () => {
    const x = tensor([3]);
    const y = mul(x, stopGradient(x));
    expect(await values(y)).toEqual([9]);
    expect(await values(grad(y.sum(), [x])[0] as Tensor)).toEqual([3]);
  });
});

describe("operands", () => {
  test("broadcast as NumPy does, and gradients are summed back", async () => {
    const [a, b] = [tensor([[1], [2], [3]]), tensor([10, 20])];
    const y = mul(a, b);
    expect(y.shape).toEqual([3, 2]);
    expect(await values(y)).toEqual([10, 20, 20, 40, 30, 60]);
    const [da, db] = grad(y.sum(), [a, b]) as [Tensor, Tensor];
    expect([da.shape, await values(da)]).toEqual([
      [3, 1],
      [30, 30, 30],
    ]);
    expect([db.shape, await values(db)]).toEqual([[2], [6, 6]]);
  });

  test("refuse shapes that do not broadcast", () => {
    expect(codeOf(() => add(tensor([1, 2]), tensor([1, 2, 3])))).toBe("shape_mismatch");
  });

  test("may be numbers on either side, which are data and no part of a kernel's text", async () => {
    const x = tensor([1, 2]);
    expect(await values(sub(10, x))).toEqual([9, 8]);
    expectClose(await pow(2, x).read(), [2, 4], TOLERANCES.power);
    const before = gpu.pipelines.size;
    expect(await values(sub(11, x))).toEqual([10, 9]);
    expect(gpu.pipelines.size).toBe(before);
  });

  test("may be empty", async () => {
    expect(await values(exp(tensor(new Float32Array(0), [0, 3])))).toEqual([]);
  });

  test("may be one value many times over in one compiled function", async () => {
    using run = compile((x: Tensor) => add(mul(x, x), x));
    expect(await values(await run(tensor([3])))).toEqual([12]);
  });
});

describe("methods", () => {
  test("are the ops of the same name", async () => {
    const exported = await import("../../../engine/ops/elementwise.ts");
    const x = tensor([0.5]);
    const missing = Object.entries(exported).filter(([name, op]) => {
      if (["bitcast", "where", "cast", "clamp"].includes(name)) return false;
      const method = (x as unknown as Record<string, Binary | undefined>)[name];
      const made = (op as Binary)(x, 2);
      return method?.call(x, 2 as Operand, 2).node.op !== made.node.op;
    });
    expect(missing.map(([name]) => name)).toEqual([]);
    expect(x).toBeInstanceOf(Tensor);
  });
});
