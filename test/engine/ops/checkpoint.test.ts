import { beforeAll, describe, expect, it } from "vitest";
import {
  checkpoint,
  compile,
  Generator,
  grad,
  parameter,
  State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const LAYERS = 10;
const WIDTH = 32;
const ROWS = 64;

beforeAll(async () => {
  await device();
});

type Block = (h: Tensor) => Tensor;

function makeBlocks(): { blocks: Block[]; weights: State[] } {
  const random = randoms(1);
  const draw = (name: string): State =>
    parameter([WIDTH, WIDTH], random.floats(WIDTH * WIDTH, -0.2, 0.2), name);
  const weights = Array.from({ length: LAYERS }, (_, l) => [draw(`w${l}`), draw(`v${l}`)]);
  const blocks = weights.map(([w, v]) => (h: Tensor): Tensor => {
    const inner = h.matmul(w as State).tanh();
    return h.add(inner.matmul(v as State).gelu());
  });
  return { blocks, weights: weights.flat() };
}

describe("checkpoint", () => {
  it("keeps values and gradients, bit for bit, in less memory", async () => {
    const { blocks, weights } = makeBlocks();
    const x = tensor(randoms(2).floats(ROWS * WIDTH), [ROWS, WIDTH]);
    const run = (wrap: (block: Block) => Block) =>
      compile((input: Tensor) => {
        const y = blocks.reduce((h, block) => wrap(block)(h), input);
        const loss = y.square().mean();
        return [loss, ...grad(loss, [input, ...weights])];
      });
    const [kept, recomputed] = [run((block) => block), run(checkpoint)];
    const read = async (f: typeof kept): Promise<ArrayLike<number>[]> =>
      Promise.all((await f(x)).map((t) => t.read()));
    expect(await read(recomputed)).toEqual(await read(kept));
    const [full, less] = [await kept.describe(x), await recomputed.describe(x)];
    expect(less.memory.temporary).toBeLessThan(0.6 * full.memory.temporary);
    expect(less.flops).toBeGreaterThan(full.flops);
    expect(less.flops).toBeLessThan(1.5 * full.flops);
  });

  it("costs nothing where no gradient is taken", async () => {
    const { blocks } = makeBlocks();
    const x = tensor(randoms(3).floats(WIDTH), [1, WIDTH]);
    const run = (wrap: (block: Block) => Block) =>
      compile((input: Tensor) => blocks.reduce((h, block) => wrap(block)(h), input));
    const plain = await run((block) => block).describe(x);
    const wrapped = await run(checkpoint).describe(x);
    expect(wrapped.kernels.map((k) => k.label)).toEqual(plain.kernels.map((k) => k.label));
  });

  it("takes several inputs and outputs, closed-over tensors, and nesting", async () => {
    const random = randoms(4);
    const [a, b, c] = [0, 1, 2].map(() => tensor(random.floats(12), [3, 4])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const build = (wrap: <F extends (...inputs: Tensor[]) => Tensor | Tensor[]>(fn: F) => F) => {
      const inner = wrap((x: Tensor) => x.mul(c).sin());
      const outer = wrap((x: Tensor, y: Tensor) => {
        const z = inner(x.add(y)).mul(x);
        return [z, z.mul(y).exp(), x];
      });
      const [p, q, r] = outer(a, b) as [Tensor, Tensor, Tensor];
      return grad(p.mul(q).add(r).sum(), [a, b, c]);
    };
    const plain = build((fn) => fn);
    const wrapped = build(checkpoint);
    for (const [i, g] of plain.entries()) {
      expectClose((await wrapped[i]?.read()) ?? [], await g.read(), TOLERANCES.chain, `input ${i}`);
    }
  });

  it("draws the same random numbers again", async () => {
    const generator = new Generator(8);
    const w = parameter([16], randoms(5).floats(16), "w");
    const step = compile(() => {
      let kept: Tensor | undefined;
      const dropped = checkpoint((x: Tensor) => {
        kept = generator.uniform([16]).less(0.5).cast("f32");
        return x.mul(kept).square();
      })(w);
      return { gradient: grad(dropped.sum(), [w])[0], kept };
    });
    const { gradient, kept } = await step();
    const [values, mask] = [await w.read(), await kept?.read()];
    const expected = Array.from(values, (x, i) => 2 * x * (mask?.[i] ?? Number.NaN));
    expectClose((await gradient?.read()) ?? [], expected, TOLERANCES.arithmetic);
    expect(new Set(mask).size).toBe(2);
  });

  it("assigns states once", async () => {
    const count = new State([], "f32", 0, "count");
    const w = parameter([], 3, "w");
    const step = compile(() => {
      const y = checkpoint((x: Tensor) => {
        count.assign(count.add(1));
        return x.square();
      })(w);
      return grad(y, [w]);
    });
    const [g] = await step();
    expect(await g?.item()).toBe(6);
    expect(await count.item()).toBe(1);
  });
});
