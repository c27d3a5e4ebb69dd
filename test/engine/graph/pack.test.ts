import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  compile,
  type Device,
  exp,
  matmul,
  mul,
  State,
  sum,
  type Tensor,
  tensor,
  transpose,
} from "../../../engine/index.ts";
import { pack } from "../../../engine/ops/pack.ts";
import { evaluate } from "../../support/evaluate.ts";
import { device, randoms } from "../../support/gpu.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** What a flat tensor holds when `parts` lie at `offsets` and the gaps are zeros. */
async function laidOut(
  parts: readonly Tensor[],
  offsets: readonly number[],
  length: number,
): Promise<Float32Array> {
  const flat = new Float32Array(length);
  for (const [i, part] of parts.entries()) flat.set(await part.read(), offsets[i]);
  return flat;
}

/** Packs what `make` makes in one plan; gives the flat tensor's elements and the labels of the kernels. */
async function packed(
  make: () => Tensor[],
  offsets: readonly number[],
  length: number,
): Promise<{ flat: ArrayLike<number>; kernels: readonly string[] }> {
  const { values, kernels } = await evaluate(gpu, () => ({ flat: pack(make(), offsets, length) }));
  return { flat: values.flat, kernels };
}

const random = randoms(1);
const [x, w] = [tensor(random.floats(40), [5, 8]), tensor(random.floats(24), [8, 3])];

describe("pack", () => {
  test("makes its parts in place, one behind the other, with zeros between them", async () => {
    const make = (): Tensor[] => [mul(x, 2), sum(exp(x), 0), matmul(x, w)];
    const offsets = [0, 64, 128];
    const { flat, kernels } = await packed(make, offsets, 192);
    expect(flat).toEqual(await laidOut(make(), offsets, 192));
    expect(kernels.filter((k) => k.includes("pack"))).toEqual([]);
  });

  test("copies what has memory of its own: host data, states, views, and one part twice", async () => {
    const state = new State([3], "f32", Float32Array.of(7, 8, 9), "s");
    const doubled = mul(x, 2);
    const make = (): Tensor[] => [x, transpose(w), state, doubled, doubled];
    const offsets = [0, 64, 128, 192, 256];
    const { flat } = await packed(make, offsets, 320);
    expect(flat).toEqual(await laidOut(make(), offsets, 320));
  });

  test("keeps apart what one kernel reads and writes: a part made from another", async () => {
    const first = exp(matmul(x, w));
    const second = matmul(transpose(x), first);
    const third = sum(mul(second, second), 0);
    const make = (): Tensor[] => [first, second, third];
    const offsets = [0, 64, 128];
    const { flat } = await packed(make, offsets, 192);
    expect(flat).toEqual(await laidOut(make(), offsets, 192));
  });

  test("leaves a part whole for its other users, and gives the same at every replay", async () => {
    using run = compile((a: Tensor, b: Tensor) => {
      const product = matmul(a, b);
      const flat = pack([product, sum(product, 0)], [0, 64], 128);
      return { flat, product, scaled: mul(flat, 2), more: add(product, 1) };
    });
    for (const seed of [2, 3]) {
      const [a, b] = [tensor(randoms(seed).floats(40), [5, 8]), tensor(random.floats(24), [8, 3])];
      const product = matmul(a, b);
      const expected = await laidOut([product, sum(product, 0)], [0, 64], 128);
      const out = await run(a, b);
      expect(await out.flat.read()).toEqual(expected);
      expect(await out.scaled.read()).toEqual(expected.map((v) => 2 * v));
      expect(await out.product.read()).toEqual(await product.read());
      expect(await out.more.read()).toEqual(await add(product, 1).read());
    }
  });
});
