import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  type Device,
  embedding,
  full,
  grad,
  iota,
  lmHead,
  matmul,
  parameter,
  type State,
  sum,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { decoded, toHostArray } from "../../../engine/tensor/dtype.ts";
import * as oracle from "../../reference/embedding.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { HELD, withPacking } from "../../support/held.ts";
import { summed, TOLERANCES } from "../../support/tolerances.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** A weight in 16 bits, and the same numbers in f32. */
function weights(shape: readonly number[], dtype: State["dtype"], seed: number) {
  const count = shape.reduce((n, s) => n * s, 1);
  const bits = toHostArray(randoms(seed).floats(count), dtype);
  const numbers = Float32Array.from(bits, (b) => decoded(b, dtype));
  return { held: parameter(shape, bits, "held", dtype), wide: tensor(numbers, shape), numbers };
}

describe.each(HELD)("a weight held as $name", ({ held }) => {
  const { dtype } = held;
  const run = <T>(fn: () => Promise<T>): Promise<T> => withPacking(gpu, held, fn);

  // rows of vectors, and rows that begin within a word
  it.each([
    [16, 9],
    [5, 7],
  ])("is a table of embeddings, of %i columns", async (cols, vocab) => {
    await run(async () => {
      const { held: table, numbers } = weights([vocab, cols], dtype, cols);
      const ids = Uint32Array.from([vocab - 1, 0, 3, 3, 1]);
      const expected = oracle.embedding(numbers, ids, { vocab, cols });
      expectClose(await embedding(tensor(ids), table).read(), expected, TOLERANCES.exact);
      const beyond = embedding(tensor(Uint32Array.of(vocab)), table);
      expect(await rejectionOf(beyond.read())).toBe("index_out_of_range");
      table[Symbol.dispose]();
    });
  });

  it("is a head: the same log-probs, and gradients to what it sees, as of its numbers in f32", async () => {
    await run(async () => {
      const [rows, width, vocab] = [24, 16, 40];
      const { held: head, wide } = weights([vocab, width], dtype, 5);
      const hidden = tensor(randoms(6).floats(rows * width), [rows, width]);
      const labels = tensor(Uint32Array.from({ length: rows }, (_, i) => i));
      const all = (weight: Tensor): Tensor[] => {
        const { logprob, entropy } = lmHead(hidden, weight, labels, { chunkRows: 10 });
        return [logprob, entropy, ...grad(sum(logprob).add(sum(entropy)), [hidden])];
      };
      using narrow = compile(() => all(head));
      using full = compile(() => all(wide));
      const [actual, expected] = [await narrow(), await full()];
      for (const [i, t] of actual.entries())
        expect(await t.read()).toEqual(await expected[i]?.read());
      head[Symbol.dispose]();
    });
  });

  it("is read in place, as a tied table: no copy of it is ever made", async () => {
    await run(async () => {
      const [rows, width, vocab] = [8, 32, 300];
      const { held: table } = weights([vocab, width], dtype, 7);
      using step = compile((ids: Tensor) => {
        const x = embedding(ids, table);
        const loss = sum(lmHead(x, table, ids).logprob).add(sum(matmul(x, table.transpose())));
        return { loss, dx: grad(loss, [x])[0] as Tensor };
      });
      const { program } = await step.plan(tensor(new Uint32Array(rows)));
      const readers = program.calls.filter((c) => c.bindings.some((slot) => slot.state === table));
      expect(readers.length).toBeGreaterThan(3);
      for (const { name } of readers) expect(name).toMatch(/^embedding$|^matmul-(?!transpose)/);
      for (const slot of program.slots.filter((s) => s.state === undefined))
        expect(slot.elements, slot.label).toBeLessThan(vocab * width);
      table[Symbol.dispose]();
    });
  });

  it("becomes f32 by a cast, through any view, inside the kernel that uses it", async () => {
    await run(async () => {
      const [rows, cols] = [6, 9];
      const { held: x, wide } = weights([rows, cols], dtype, 3);
      const views: ((t: Tensor) => Tensor)[] = [
        (t) => t,
        (t) => t.transpose(),
        (t) => t.slice(1, 1, 8).slice(0, 1, 4),
        (t) => t.reshape([3, 18]).slice(1, 2, 18),
      ];
      for (const view of views) {
        expect(await view(x).cast("f32").read()).toEqual(await view(wide).read());
      }
      const y = randoms(4).floats(rows * cols);
      const add = (t: Tensor): Tensor => sum(t.cast("f32").mul(tensor(y, [rows, cols])), 0);
      expect(await add(x).read()).toEqual(await add(wide).read());
      const product = (t: Tensor): Tensor =>
        matmul(tensor(y, [cols, rows]), wide).add(t.slice(0, 2, 3).cast("f32"));
      expect(await product(x).read()).toEqual(await product(wide).read());
      x[Symbol.dispose]();
    });
  });

  it("may lie in any layout and batch that products broadcast", async () => {
    await run(async () => {
      const { held: w, wide } = weights([2, 3, 6, 4], dtype, 11);
      const a = tensor(randoms(12).floats(2 * 2 * 3 * 5 * 4), [2, 2, 3, 4, 5]);
      const product = (t: Tensor): Tensor => matmul(a.transpose(), t.transpose());
      expectClose(await product(w).read(), await product(wide).read(), summed(4));
      w[Symbol.dispose]();
    });
  });
});

describe("bf16", () => {
  const held = parameter([4, 6], new Uint16Array(24), "held", "bf16");
  const x = tensor(new Float32Array(24), [4, 6]);

  it("is computed with by no other op", () => {
    const uses: (() => unknown)[] = [
      () => held.add(x),
      () => x.mul(held),
      () => held.add(1),
      () => held.neg(),
      () => held.sum(),
      () => x.cast("bf16"),
      () => full([2], 1, "bf16"),
      () => iota([2], 0, "bf16"),
      () => grad(sum(matmul(x, held.transpose())), [held]),
      () => grad(sum(embedding(tensor(Uint32Array.of(1)), held)), [held]),
    ];
    for (const use of uses) expect(codeOf(use), String(use)).toBe("dtype_unsupported");
  });

  it("is not copied: views of it are cast before they are read", async () => {
    expect(await rejectionOf(held.transpose().read())).toBe("dtype_unsupported");
    using same = compile(() => held);
    expect(await rejectionOf(same())).toBe("dtype_unsupported");
    expect(await held.read()).toEqual(new Uint16Array(24));
  });
});

describe("f16", () => {
  it("is the product of two of f16, rounded once", async ({ skip }) => {
    if (!gpu.hasF16) skip("the adapter has no f16");
    const { floats } = randoms(8);
    const [a, b] = [tensor(floats(12), [3, 4], "f16"), tensor(floats(8), [4, 2], "f16")];
    const product = a.matmul(b);
    expect(product.dtype).toBe("f16");
    const exact = await a.cast("f32").matmul(b.cast("f32")).read();
    const rounded = Array.from(await product.read(), (bits) => decoded(bits, "f16"));
    expectClose(rounded, exact, { abs: 0, rel: 2 ** -11 });
  });
});

describe("f16 on an adapter without it", () => {
  it("is held, but not computed with", async () => {
    await withPacking(gpu, { dtype: "f16", packing: "f16" }, async () => {
      const half = parameter([2, 2], Float32Array.of(1, 2, 3, 4), "half", "f16");
      expect(await half.cast("f32").read()).toEqual(Float32Array.of(1, 2, 3, 4));
      expect(await rejectionOf(half.add(half).read())).toBe("dtype_unsupported");
      expect(await rejectionOf(half.transpose().read())).toBe("dtype_unsupported");
      expect(await rejectionOf(matmul(half, half).read())).toBe("dtype_unsupported");
    });
  });
});
