import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  compile,
  type Device,
  GradientAccumulator,
  grad,
  parameter,
  SGD,
  type State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const WIDTH = 6;

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

function makeModel(): { parameters: State[]; loss: (x: Tensor, y: Tensor) => Tensor } {
  const random = randoms(11);
  const w = parameter([WIDTH, WIDTH], random.floats(WIDTH * WIDTH), "w");
  const b = parameter([WIDTH], random.floats(WIDTH), "b");
  const loss = (x: Tensor, y: Tensor): Tensor => x.matmul(w).add(b).tanh().sub(y).square().mean();
  return { parameters: [w, b], loss };
}

function batches(count: number, rows: number): [x: Tensor, y: Tensor][] {
  const random = randoms(12);
  const draw = (): Tensor => tensor(random.floats(rows * WIDTH), [rows, WIDTH]);
  return Array.from({ length: count }, () => [draw(), draw()]);
}

/** Rows [from, to) of a batch. */
async function part([x, y]: [Tensor, Tensor], from: number, to: number): Promise<[Tensor, Tensor]> {
  const cut = async (t: Tensor): Promise<Tensor> =>
    tensor((await t.read()).slice(from * WIDTH, to * WIDTH), [to - from, WIDTH]);
  return [await cut(x), await cut(y)];
}

describe("GradientAccumulator", () => {
  it("makes two micro-batches of 4 step as one batch of 8 does, 5 steps on", async () => {
    const whole = makeModel();
    const optimizer = new AdamW(shared, whole.parameters, { lr: 1e-2, clipNorm: 0.5 });
    const step = compile((x: Tensor, y: Tensor) => {
      const loss = whole.loss(x, y);
      return { loss, ...optimizer.step(grad(loss, optimizer.parameters)) };
    });

    const split = makeModel();
    const accumulated = new AdamW(shared, split.parameters, { lr: 1e-2, clipNorm: 0.5 });
    const accumulator = new GradientAccumulator(accumulated);
    const micro = compile((x: Tensor, y: Tensor) => {
      const loss = split.loss(x, y);
      accumulator.add(grad(loss, accumulated.parameters));
      return loss;
    });
    const apply = compile(() => ({ ...accumulator.step() }));

    for (const batch of batches(5, 8)) {
      const one = await step(...batch);
      const losses: number[] = [];
      for (const [from, to] of [
        [0, 4],
        [4, 8],
      ] as const) {
        losses.push(await (await micro(...(await part(batch, from, to)))).item());
      }
      expect(accumulator.count).toBe(2);
      const two = await apply();
      expect(accumulator.count).toBe(0);
      const mean = losses.reduce((a, b) => a + b) / 2;
      expectClose([mean], [await one.loss.item()], TOLERANCES.accumulated, "loss");
      expectClose(
        [await two.gradNorm.item()],
        [await one.gradNorm.item()],
        TOLERANCES.accumulated,
        "norm",
      );
    }
    for (const [i, p] of whole.parameters.entries()) {
      const actual = (await split.parameters[i]?.read()) ?? [];
      expectClose(actual, await p.read(), TOLERANCES.accumulated, p.name);
    }
  });

  it("adds and steps in one function, takes sums, and forgets a batch that held NaN", async () => {
    const p = parameter([2], Float32Array.of(1, 1), "p");
    const optimizer = new SGD(shared, [p], { lr: 1 });
    const accumulator = new GradientAccumulator(optimizer, { reduction: "sum" });
    const add = compile((g: Tensor) => {
      accumulator.add([g]);
      return g.sum();
    });
    const last = compile((g: Tensor) => {
      accumulator.add([g]);
      return { ...accumulator.step() };
    });
    await add(tensor([Number.NaN, 0]));
    expect(await (await last(tensor([1, 1]))).isSkipped.item()).toBe(1);
    expect([...(await p.read())]).toEqual([1, 1]);
    await add(tensor([1, 2]));
    await add(tensor([0.25, 0.25]));
    await last(tensor([1, 1]));
    expect([...(await p.read())]).toEqual([-1.25, -2.25]);
    await add(tensor([Number.NaN, 7]));
    accumulator.reset();
    await last(tensor([-1, -2]));
    expect([...(await p.read())]).toEqual([-0.25, -0.25]);
  });

  it("refuses a step before which nothing was added", async () => {
    const optimizer = new SGD(shared, [parameter([2], 0, "p")], { lr: 1 });
    const accumulator = new GradientAccumulator(optimizer);
    const apply = compile(() => ({ ...accumulator.step() }));
    await expect(apply()).rejects.toMatchObject({ code: "argument_invalid" });
    expect((await optimizer.save()).stepCount).toBe(0);
  });
});
