import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  concat,
  type Device,
  full,
  matmul,
  mul,
  openDevice,
  parameter,
  reshape,
  State,
  slice,
  sum,
  type Tensor,
  tensor,
  transpose,
} from "../../../engine/index.ts";
import { toHostArray } from "../../../engine/tensor/dtype.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const state = (...x: number[]): State => new State([x.length], "f32", Float32Array.from(x), "s");
const values = async (t: Tensor): Promise<number[]> => Array.from(await t.read());

describe("a state", () => {
  test("starts as its data, or as one number everywhere", async () => {
    expect(await values(state(1, 2))).toEqual([1, 2]);
    expect(await values(parameter([3], 0.5, "p"))).toEqual([0.5, 0.5, 0.5]);
    expect(await values(parameter([2, 2], 0, "p"))).toEqual([0, 0, 0, 0]);
    expect(codeOf(() => new State([3], "f32", Float32Array.of(1), "s"))).toBe("shape_mismatch");
  });

  test("denotes its value when the plan starts, in one-shot reads too", async () => {
    const s = state(1, 2);
    const doubled = mul(s, 2);
    expect(await values(doubled)).toEqual([2, 4]);
    s.write(gpu, Float32Array.of(5, 6));
    expect(await values(doubled)).toEqual([10, 12]);
    expect(codeOf(() => s.write(gpu, Float32Array.of(1)))).toBe("shape_mismatch");
  });

  test("holds integers, and f16 of odd counts where the adapter has it", async ({ skip }) => {
    const integers = new State([3], "i32", Int32Array.of(1, -2, 3), "i");
    using negate = compile(() => integers.assign(integers.neg()) ?? {});
    await negate();
    expect(await integers.read()).toEqual(Int32Array.of(-1, 2, -3));
    if (!gpu.hasF16) skip("the adapter has no f16");
    const halves = new State([3], "f16", Uint16Array.of(0x3c00, 0x4000, 0xbc00), "h");
    using scale = compile(() => halves.assign(mul(halves, 2)) ?? {});
    await scale();
    expect(await halves.read()).toEqual(Uint16Array.of(0x4000, 0x4400, 0xc000));
  });

  test.each(["f16", "bf16"] as const)(
    "holds every pattern of %s, and takes parts and numbers",
    async (dtype) => {
      const all = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
      using s = new State([2 ** 16], dtype, all, "s");
      const before = gpu.liveBytes;
      s.buffer(gpu);
      expect(gpu.liveBytes - before).toBe(2 ** 17);
      expect(await s.read()).toEqual(all);
      using odd = new State([5], dtype, Float32Array.of(1, -2, 0.5, 3, 7), "odd");
      const one = toHostArray([1], dtype)[0] as number;
      expect(Array.from(await odd.read()).at(0)).toBe(one);
      odd.write(gpu, Uint16Array.of(1, 2), 2);
      odd.write(gpu, Uint16Array.of(3), 4);
      expect(Array.from(await odd.read()).slice(2)).toEqual([1, 2, 3]);
      expect(codeOf(() => odd.write(gpu, Uint16Array.of(1), 2))).toBe("argument_invalid");
      expect(codeOf(() => odd.write(gpu, Uint16Array.of(1, 2), 3))).toBe("argument_invalid");
      expect(codeOf(() => odd.write(gpu, new Float32Array(5)))).toBe("dtype_mismatch");
      expect(await parameter([], -2, "p", dtype).item()).toBe(-2);
    },
  );

  test("gives its memory back when disposed, and may not be used then", async () => {
    const before = gpu.liveBytes;
    const s = parameter([1024], 1, "p");
    s.buffer(gpu);
    expect(gpu.liveBytes).toBe(before + 4096);
    s[Symbol.dispose]();
    s[Symbol.dispose]();
    expect(gpu.liveBytes).toBe(before);
    expect(await rejectionOf(s.read())).toBe("use_after_dispose");
    expect(await rejectionOf(add(s, 1).read())).toBe("use_after_dispose");
    using run = compile(() => add(s, 1));
    expect(await rejectionOf(run())).toBe("use_after_dispose");
    expect(gpu.liveBytes).toBe(before);
  });

  test("belongs to the device that used it first", async () => {
    const s = state(1);
    await s.read();
    using other = await openDevice({ debug: true });
    expect(codeOf(() => s.buffer(other))).toBe("state_conflict");
    using run = compile(() => add(s, 1), { device: other });
    expect(await rejectionOf(run())).toBe("state_conflict");
    expect(other.liveBytes).toBe(0);
  });
});

describe("assign", () => {
  test("sets the value after the plan, at every call", async () => {
    const s = state(1, 2);
    using step = compile((x: Tensor) => {
      s.assign(add(s, x));
      return { before: s, sum: sum(s) };
    });
    const first = await step(tensor([10, 20]));
    expect(await values(first.before)).toEqual([1, 2]);
    expect(await first.sum.item()).toBe(3);
    expect(await values(s)).toEqual([11, 22]);
    await step(tensor([100, 200]));
    expect(await values(s)).toEqual([111, 222]);
  });

  test("of calls that nobody awaits happens in their order", async () => {
    const s = state(0);
    using step = compile((x: Tensor) => {
      s.assign(add(mul(s, 10), x));
      return {};
    });
    await Promise.all([1, 2, 3, 4, 5].map((n) => step(tensor([n]))));
    expect(await values(s)).toEqual([12345]);
  });

  test("swaps two states, and turns three around", async () => {
    const [a, b, c] = [state(1), state(2), state(3)];
    using swap = compile(() => {
      a.assign(b);
      b.assign(a);
      return {};
    });
    await swap();
    expect([await values(a), await values(b)]).toEqual([[2], [1]]);
    using turn = compile(() => {
      a.assign(b);
      b.assign(c);
      c.assign(a);
      return { a, c };
    });
    const before = await turn();
    expect([await values(before.a), await values(before.c)]).toEqual([[2], [3]]);
    expect([await values(a), await values(b), await values(c)]).toEqual([[1], [3], [2]]);
    using crossed = compile(() => {
      a.assign(add(b, 1));
      b.assign(add(a, 1));
      return {};
    });
    await crossed();
    expect([await values(a), await values(b)]).toEqual([[4], [2]]);
  });

  test("reads every old element before it is overwritten, however they move", async () => {
    const data = randoms(1).floats(64);
    const expectAfter = async (update: (s: State) => Tensor): Promise<void> => {
      const shape = [8, 8];
      const s = new State(shape, "f32", data, "s");
      const expected = await update(new State(shape, "f32", data, "twin")).read();
      using run = compile(() => {
        s.assign(update(s));
        return {};
      });
      await run();
      expect(await s.read()).toEqual(expected);
      s[Symbol.dispose]();
    };
    await expectAfter((s) => transpose(s));
    await expectAfter((s) => add(transpose(s), s));
    await expectAfter((s) => concat([slice(s, 0, 1), slice(s, 0, 0, 1)]));
    await expectAfter((s) => add(s, slice(s, 0, 7)));
    await expectAfter((s) => add(s, slice(s, 1, 0, 1)));
    await expectAfter((s) => matmul(s, s));
    await expectAfter((s) => add(matmul(s, s), s));
    await expectAfter((s) => add(sum(s, 0, { keepDims: true }), s));
    await expectAfter((s) => reshape(transpose(reshape(s, [4, 16])), [8, 8]));
    await expectAfter((s) => mul(add(s, 1), s));
  });

  test("gives one value to several states, to an output, and to itself", async () => {
    const [a, b, c] = [state(0, 0), state(0, 0), state(7, 7)];
    using run = compile((x: Tensor) => {
      const y = mul(x, 2);
      a.assign(y);
      b.assign(y);
      c.assign(c);
      return { y, twice: add(y, y) };
    });
    const { y, twice } = await run(tensor([1, 2]));
    expect([await values(y), await values(twice)]).toEqual([
      [2, 4],
      [4, 8],
    ]);
    expect([await values(a), await values(b), await values(c)]).toEqual([
      [2, 4],
      [2, 4],
      [7, 7],
    ]);
  });

  test("takes an argument, host data, a constant, a view and another state as they are", async () => {
    const [a, b, c, d, e] = [state(0, 0), state(0, 0), state(0, 0), state(0, 0), state(0, 0)];
    const source = state(5, 6);
    using run = compile((x: Tensor) => {
      a.assign(x);
      b.assign(tensor([3, 4]));
      c.assign(full([2], 9));
      d.assign(slice(concat([x, x]), 0, 1, 3));
      e.assign(source);
      return {};
    });
    await run(tensor([1, 2]));
    const all = await Promise.all([a, b, c, d, e].map(values));
    expect(all).toEqual([
      [1, 2],
      [3, 4],
      [9, 9],
      [2, 1],
      [5, 6],
    ]);
  });

  test("is refused twice in one function, outside of one, and for another shape or dtype", async () => {
    const s = state(1);
    expect(codeOf(() => s.assign(tensor([2])))).toBe("state_conflict");
    expect(codeOf(() => s.assign(tensor([2, 3])))).toBe("shape_mismatch");
    expect(codeOf(() => s.assign(tensor(Int32Array.of(1))))).toBe("dtype_mismatch");
    using twice = compile(() => {
      s.assign(tensor([2]));
      s.assign(tensor([3]));
      return {};
    });
    expect(await rejectionOf(twice())).toBe("state_conflict");
    expect(await values(s)).toEqual([1]);
  });
});

describe("copyFrom", () => {
  test("takes a value bit by bit, out of a flat buffer too", async () => {
    const [first, second, copy] = [state(1, 2, 3), state(4, Number.NaN, 6), state(0, 0, 0)];
    State.flatten(gpu, [first, second], "flat");
    copy.copyFrom(gpu, second);
    expect(await values(copy)).toEqual([4, Number.NaN, 6]);
    const half = (value: number): State => new State([3], "bf16", value, "half");
    const [from, to] = [half(1.5), half(0)];
    to.copyFrom(gpu, from);
    expect(await values(to)).toEqual([0x3fc0, 0x3fc0, 0x3fc0]);
  });

  test("refuses other shapes and dtypes", () => {
    expect(codeOf(() => state(1, 2).copyFrom(gpu, state(1)))).toBe("shape_mismatch");
    const whole = new State([2], "u32", 0, "u");
    expect(codeOf(() => state(1, 2).copyFrom(gpu, whole))).toBe("dtype_mismatch");
  });
});

describe("readPart", () => {
  test("reads elements from within, of a state in a flat buffer and of one that nobody has used", async () => {
    const [first, second] = [state(1, 2, 3), state(4, Number.NaN, 6)];
    const flat = State.flatten(gpu, [first, second], "flat");
    expect(await second.readPart(gpu, 0, 2)).toEqual(Float32Array.of(4, Number.NaN));
    expect(await flat.readPart(gpu, 64, 67)).toEqual(Float32Array.of(4, Number.NaN, 6));
    expect(await first.readPart(gpu, 1, 1)).toEqual(new Float32Array());
    const unused = new State([5], "u32", 7, "unused");
    expect(await unused.readPart(gpu, 3, 5)).toEqual(Uint32Array.of(7, 7));
  });

  test("has what was called before", async () => {
    const counter = state(1, 2);
    using step = compile(() => {
      counter.assign(mul(counter, 3));
      return sum(counter);
    });
    await step();
    expect(await counter.readPart(gpu, 1, 2)).toEqual(Float32Array.of(6));
  });

  test.each([
    [-1, 2],
    [0, 4],
    [2, 1],
    [0.5, 1],
  ])("refuses elements %d to %d of 3", async (from, to) => {
    await expect(state(1, 2, 3).readPart(gpu, from, to)).rejects.toMatchObject({
      code: "argument_invalid",
    });
  });

  test("refuses elements of two bytes", async () => {
    const half = new State([4], "f16", 0, "half");
    await expect(half.readPart(gpu, 0, 2)).rejects.toMatchObject({ code: "argument_invalid" });
  });
});

describe("flatten", () => {
  test("moves states into one buffer, values and functions included", async () => {
    const [a, b] = [state(1, 2, 3), parameter([65], 4, "b")];
    using step = compile(() => {
      a.assign(add(a, 1));
      return sum(b);
    });
    expect(await (await step()).item()).toBe(260);
    const before = gpu.liveBytes;
    const flat = State.flatten(gpu, [a, b], "flat");
    expect(flat.shape).toEqual([64 + 128]);
    expect(await values(a)).toEqual([2, 3, 4]);
    expect(await values(slice(flat, 0, 0, 4))).toEqual([2, 3, 4, 0]);
    expect(await (await step()).item()).toBe(260);
    expect([await values(a), await values(slice(flat, 0, 0, 3))]).toEqual([
      [3, 4, 5],
      [3, 4, 5],
    ]);
    b.write(gpu, new Float32Array(65).fill(1));
    expect(await (await step()).item()).toBe(65);
    a[Symbol.dispose]();
    b[Symbol.dispose]();
    step[Symbol.dispose]();
    await gpu.idle();
    expect(gpu.liveBytes).toBeLessThan(before);
  });

  test("swaps and assigns states within one flat buffer", async () => {
    const [a, b] = [state(1, 2, 3), state(4, 5, 6)];
    State.flatten(gpu, [a, b], "flat");
    using swap = compile(() => {
      a.assign(b);
      b.assign(a);
      return {};
    });
    await swap();
    expect([await values(a), await values(b)]).toEqual([
      [4, 5, 6],
      [1, 2, 3],
    ]);
    using crossed = compile(() => {
      a.assign(add(b, 1));
      b.assign(mul(a, 2));
      return { old: sum(a) };
    });
    expect(await (await crossed()).old.item()).toBe(15);
    expect([await values(a), await values(b)]).toEqual([
      [2, 3, 4],
      [8, 10, 12],
    ]);
  });
});
