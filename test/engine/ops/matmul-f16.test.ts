import { describe, expect, it } from "vitest";
import { fromHalf, grad, lmHead, type Tensor, tensor } from "../../../engine/index.ts";
import { device, randoms } from "../../support/gpu.ts";

const { hasF16 } = await device();

/** Tile edges, odd sizes and one row: every variant that the adapter's heuristic picks. */
const SIZES = [
  [64, 32, 48],
  [5, 7, 9],
  [33, 20, 68],
  [1, 64, 64],
] as const;

describe.skipIf(!hasF16)("matrix products with f16 operands", () => {
  it.each(SIZES)("%i×%i·%i reads f16 in place, to the bit of its f32 copy", async (m, k, n) => {
    const { floats } = randoms(7);
    const a = tensor(floats(m * k), [m, k]);
    const b = tensor(floats(k * n), [k, n], "f16");
    const wide = b.cast("f32");
    expect(await a.matmul(b).read()).toEqual(await a.matmul(wide).read());
    const loss = (right: Tensor): Tensor => a.matmul(right).square().sum();
    const [narrow, full] = [grad(loss(b), [a]), grad(loss(wide), [a])];
    expect(await narrow[0]?.read()).toEqual(await full[0]?.read());
  });

  it("adds f16 to a product of f32 in the kernel that computes it", async () => {
    const { floats } = randoms(11);
    const [a, b] = [tensor(floats(12), [3, 4]), tensor(floats(32), [4, 8])];
    const c = tensor(floats(24), [3, 8], "f16");
    const [product, wide] = [await a.matmul(b).read(), await c.cast("f32").read()];
    const sum = Float32Array.from(product, (p, i) => p + (wide[i] as number));
    expect(await a.matmul(b).add(c.cast("f32")).read()).toEqual(sum);
  });

  it("gives f16 from two f16 operands, rounded once", async () => {
    const { floats } = randoms(8);
    const [a, b] = [tensor(floats(12), [3, 4], "f16"), tensor(floats(8), [4, 2], "f16")];
    const product = a.matmul(b);
    expect(product.dtype).toBe("f16");
    const exact = await a.cast("f32").matmul(b.cast("f32")).read();
    const rounded = Array.from(await product.read(), fromHalf);
    rounded.forEach((value, i) => {
      expect(Math.abs(value - (exact[i] ?? 0))).toBeLessThanOrEqual(
        2 ** -11 * Math.abs(exact[i] ?? 0),
      );
    });
  });

  it("scores tokens with a head of f16 weights", async () => {
    const { floats } = randoms(9);
    const hidden = tensor(floats(24 * 16), [24, 16]);
    const weight = tensor(floats(40 * 16), [40, 16], "f16");
    const labels = tensor(Uint32Array.from({ length: 24 }, (_, i) => i));
    const narrow = await lmHead(hidden, weight, labels).logprob.read();
    expect(narrow).toEqual(await lmHead(hidden, weight.cast("f32"), labels).logprob.read());
  });
});
