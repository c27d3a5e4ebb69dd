import { beforeAll, describe, expect, test } from "vitest";
import { createDawn } from "../../../engine/gpu/dawn.ts";
import {
  add,
  compile,
  type Device,
  exp,
  matmul,
  mul,
  openDevice,
  sum,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

/** A device as a browser gives it to those who ask for nothing: 8 storage buffers in a kernel, 256 invocations. */
let gpu: Device;
beforeAll(async () => {
  const browser = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  const adapter = await (browser ?? (await createDawn(true)).gpu).requestAdapter();
  const plain = await adapter?.requestDevice();
  if (!plain) return expect.fail("no device");
  gpu = await openDevice({ device: plain });
});

const random = randoms(1);
const many = (count: number): Tensor[] =>
  Array.from({ length: count }, () => tensor(random.floats(32), [4, 8]));

/** Evaluates on the device of default limits, and the same values on their own. */
async function expectSame(
  fn: (...x: Tensor[]) => Tensor,
  inputs: Tensor[],
  expected: Float64Array,
): Promise<void> {
  using run = compile(fn, { device: gpu });
  expectClose(await (await run(...inputs)).read(), expected, TOLERANCES.gradient);
}

/** Elementwise over host data, in f64. */
function zip(inputs: readonly Tensor[], fn: (x: number[]) => number): Float64Array {
  const data = inputs.map((t) => t.node.attributes["data"] as Float32Array);
  return Float64Array.from({ length: 32 }, (_, i) => fn(data.map((d) => d[i] as number)));
}

describe("a device with the default limits", () => {
  test("has them", () => {
    expect(gpu.limits.maxStorageBuffersPerShaderStage).toBeLessThanOrEqual(10);
  });

  test("adds up more tensors than a kernel may bind", async () => {
    const inputs = many(20);
    const total = zip(inputs, (x) => x.reduce((a, b) => a + b, 0));
    await expectSame((...x) => x.reduce((a, b) => add(a, b)), inputs, total);
  });

  test("ends a product with more tensors than its kernel may bind", async () => {
    const inputs = many(9);
    const identity = tensor(
      Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => Number(i === j))),
    );
    const total = zip(inputs, (x) => x.reduce((a, b) => a + b, 0));
    const fn = (w: Tensor, ...x: Tensor[]): Tensor =>
      x.slice(1).reduce((a, b) => add(a, b), matmul(x[0] as Tensor, w));
    await expectSame(fn, [identity, ...inputs], total);
  });

  test("ends a reduction of many tensors with many tensors", async () => {
    const inputs = many(7);
    const rows = Array.from({ length: 7 }, () => tensor(random.floats(4), [4, 1]));
    const product = zip(inputs, (x) => x.reduce((a, b) => a + b, 0));
    const data = rows.map((t) => t.node.attributes["data"] as Float32Array);
    const expected = Float64Array.from({ length: 4 }, (_, r) =>
      data.reduce(
        (a, d) => a + (d[r] as number),
        product.subarray(8 * r, 8 * r + 8).reduce((a, b) => a + b, 0),
      ),
    );
    const fn = (...x: Tensor[]): Tensor => {
      const body = x.slice(0, 7).reduce((a, b) => add(a, b));
      return x.slice(7).reduce((a, b) => add(a, b), sum(body, 1, { keepDims: true }));
    };
    await expectSame(fn, [...inputs, ...rows], expected);
  });

  test("gives every value that several outputs share", async () => {
    const [a, b] = many(2) as [Tensor, Tensor];
    using run = compile(
      (x: Tensor, y: Tensor) => {
        const shared = exp(mul(x, y));
        return Array.from({ length: 12 }, (_, i) => add(shared, i));
      },
      { device: gpu },
    );
    const expected = zip([a, b], (v) => Math.exp((v[0] as number) * (v[1] as number)));
    const results = await run(a, b);
    for (const [i, result] of results.entries()) {
      expectClose(
        await result.read(),
        expected.map((v) => v + i),
        TOLERANCES.chain,
      );
    }
  });
});
