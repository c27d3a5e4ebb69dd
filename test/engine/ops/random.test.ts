import { beforeAll, describe, expect, it } from "vitest";
import { compile, type Device, Generator } from "../../../engine/index.ts";
import {
  gumbelFromBits,
  normalPairFromBits,
  philox4x32,
  randomBits,
  uniformFromBits,
} from "../../reference/random.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate } from "../../support/evaluate.ts";
import { device, expectClose } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** The adapter's log and sqrt are within a few ulp of numbers up to 23. */
const distribution = { abs: 2e-6, rel: 1e-6 };

describe("the oracle", () => {
  it("gives the known answers of Random123 (tests/kat_vectors)", () => {
    const words = (text: string) => text.split(" ").map((w) => Number.parseInt(w, 16));
    const known = [
      ["0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
      [
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
      ],
      [
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
      ],
    ] as const;
    for (const [counter, key, answer] of known) {
      expect(philox4x32(words(counter), words(key))).toEqual(words(answer));
    }
  });
});

describe("Generator", () => {
  it.each([
    [0, 1],
    [7, 5],
    [2 ** 45 + 5, 257],
    [Number.MAX_SAFE_INTEGER, 1000],
  ])("of seed %i gives the oracle's %i numbers, bits and uniforms exactly", async (seed, count) => {
    const { values } = await evaluate(gpu, () => {
      const random = new Generator(seed);
      const bits = random.bits([count]);
      const uniform = random.uniform([count]);
      const normal = random.normal([count]);
      const gumbel = random.gumbel([count]);
      return { bits, uniform, normal, gumbel };
    });
    const words = (stream: number, n = count) => randomBits(n, { seed: BigInt(seed), stream });
    expect([...values.bits]).toEqual([...words(0)]);
    expect([...values.uniform]).toEqual([...words(1)].map(uniformFromBits));
    const pairs = words(2, count + 1);
    const normals = Float64Array.from({ length: count }, (_, i) => {
      const first = i - (i % 2);
      return normalPairFromBits(pairs[first] as number, pairs[first + 1] as number)[
        i % 2
      ] as number;
    });
    expectClose(values.normal, normals, distribution, "normal");
    expectClose(values.gumbel, [...words(3)].map(gumbelFromBits), distribution, "gumbel");
  });

  it("gives other numbers in every draw, and the same at every read of one", async () => {
    const random = new Generator(3);
    const [first, second] = [random.bits([8]), random.bits([8])];
    const [a, b, again] = [await first.read(), await second.read(), await first.read()];
    expect([...a]).not.toEqual([...b]);
    expect([...again]).toEqual([...a]);
    expect([...(await new Generator(3).bits([8]).read())]).toEqual([...a]);
    expect([...(await new Generator(4).bits([8]).read())]).not.toEqual([...a]);
  });

  it("gives fresh numbers in every call of a compiled function: those of (seed, stream, call)", async () => {
    const random = new Generator(11);
    const draw = compile(() => ({ x: random.bits([6]), y: random.bits([6]) }), { label: "draw" });
    for (let call = 0; call < 3; call++) {
      const { x, y } = await draw();
      const words = (stream: number) => [...randomBits(6, { seed: 11n, stream, call })];
      expect([...(await x.read())]).toEqual(words(0));
      expect([...(await y.read())]).toEqual(words(1));
    }
    expect([...(await random.calls.read())]).toEqual([3]);
    random.calls.write(gpu, new Uint32Array([1]));
    const { x } = await draw();
    expect([...(await x.read())]).toEqual([...randomBits(6, { seed: 11n, stream: 0, call: 1 })]);
    draw[Symbol.dispose]();
  });

  it("keeps a tensor drawn outside of a compiled function fixed inside", async () => {
    const noise = new Generator(5).uniform([4]);
    const twice = compile((x: number) => noise.mul(x), { label: "twice" });
    const [a, b] = [await (await twice(1)).read(), await (await twice(1)).read()];
    expect([...a]).toEqual([...b]);
    expect([...a]).toEqual([...(await noise.read())]);
    twice[Symbol.dispose]();
  });

  it("has the moments of its distributions", async () => {
    const count = 65_536;
    const { values } = await evaluate(gpu, () => {
      const random = new Generator(1);
      return {
        uniform: random.uniform([count]),
        normal: random.normal([256, count / 256]),
        gumbel: random.gumbel([count]),
      };
    });
    const moments = (x: ArrayLike<number>) => {
      const numbers = Array.from(x);
      const mean = numbers.reduce((a, b) => a + b) / count;
      const variance = numbers.reduce((a, b) => a + (b - mean) ** 2, 0) / count;
      const lag = numbers.reduce(
        (a, b, i) => a + (b - mean) * ((numbers[i + 1] ?? mean) - mean),
        0,
      );
      return [mean, variance, lag / count / variance];
    };
    // means of 65,536 numbers deviate by 1/256 of their spread: five times that, and twice that for variances
    const near = { abs: 5 / 256, rel: 0.03 };
    expectClose(moments(values.uniform), [1 / 2, 1 / 12, 0], near, "uniform");
    expectClose(moments(values.normal), [0, 1, 0], near, "normal");
    expectClose(moments(values.gumbel), [0.577_215_66, Math.PI ** 2 / 6, 0], near, "gumbel");
  });

  it("gives empty tensors, and refuses seeds that are no whole numbers", async () => {
    expect(await new Generator(0).normal([0, 3]).read()).toHaveLength(0);
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(codeOf(() => new Generator(seed))).toBe("argument_invalid");
    }
  });
});
