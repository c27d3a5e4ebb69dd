import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  type Device,
  linear,
  parameter,
  SGD,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { globalNorm } from "../../reference/global-norm.ts";
import { sgdStep } from "../../reference/sgd.ts";
import { device, expectClose, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

describe("SGD", () => {
  it.each([
    { momentum: 0, nesterov: false, weightDecay: 0, clipNorm: 0 },
    { momentum: 0.9, nesterov: false, weightDecay: 0.1, clipNorm: 2 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.1, clipNorm: 0 },
  ])("equals PyTorch's formula in f64 for 20 steps: %o", async (options) => {
    const random = randoms(3);
    const initial = [random.floats(33), random.floats(130)];
    const parameters = [
      parameter([3, 11], initial[0] as Float32Array, "w"),
      parameter([130], initial[1] as Float32Array, "b"),
    ];
    const optimizer = new SGD(shared, parameters, { lr: 0.05, ...options });
    const step = compile((grads: Tensor[]) => ({ ...optimizer.step(grads) }), { label: "sgd" });
    const expected = initial.map((p) => ({
      p: Float64Array.from(p),
      v: new Float64Array(p.length),
    }));
    for (let n = 0; n < 20; n++) {
      const grads = parameters.map((p) => random.floats(p.size));
      await step(grads.map((g, i) => tensor(g, parameters[i]?.shape)));
      const norm = globalNorm(grads.flatMap((g) => [...g]));
      const clip = options.clipNorm;
      expected.forEach(({ p, v }, i) => {
        sgdStep(p, grads[i] as Float32Array, v, {
          lr: 0.05,
          momentum: options.momentum,
          nesterov: options.nesterov,
          multiplier: clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1,
          groupOf: () => ({ lrScale: 1, weightDecay: i === 0 ? options.weightDecay : 0 }),
        });
      });
    }
    for (const [i, { p }] of expected.entries()) {
      expectClose((await parameters[i]?.read()) ?? [], p, TOLERANCES.optimizer, `parameter ${i}`);
    }
  });

  it("leaves every bit as it was when a gradient is NaN", async () => {
    const p = parameter([5], Float32Array.of(1, 2, 3, 4, 5), "p");
    const optimizer = new SGD(shared, [p], { lr: 0.1, momentum: 0.9 });
    const step = compile((g: Tensor) => ({ ...optimizer.step([g]) }));
    const result = await step(tensor([0, 0, Number.NaN, 0, 0]));
    expect(await result.isSkipped.item()).toBe(1);
    expect([...(await p.read())]).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(await optimizer.v.read())).toEqual(new Set([0]));
  });

  it("goes on from a saved momentum as if nothing had happened", async () => {
    const make = () => {
      const p = parameter([4], Float32Array.of(1, -1, 2, -2), "p");
      const optimizer = new SGD(shared, [p], { lr: 0.1, momentum: 0.5 });
      return { p, optimizer, step: compile((g: Tensor) => ({ ...optimizer.step([g]) })) };
    };
    const first = make();
    await first.step(tensor([1, 2, 3, 4]));
    const saved = await first.optimizer.save();
    const second = make();
    second.p.write(shared, await first.p.read());
    second.optimizer.restore(saved);
    await first.step(tensor([0.5, 0, 0, 1]));
    await second.step(tensor([0.5, 0, 0, 1]));
    expect(await second.p.read()).toEqual(await first.p.read());
  });

  it("takes the rate as data: one plan steps with each rate of a schedule in turn", async () => {
    const p = parameter([1], 0, "p");
    const optimizer = new SGD(shared, [p], { lr: linear({ lr: 1, totalSteps: 4 }) });
    const step = compile((g: Tensor) => ({ ...optimizer.step([g]) }));
    const plan = await step.plan(tensor([1]));
    const places: number[] = [];
    for (let n = 0; n < 4; n++) {
      await step(tensor([-1]));
      places.push((await p.read())[0] ?? 0);
    }
    expect(places).toEqual([1, 1.75, 2.25, 2.5]);
    expect(await step.plan(tensor([1]))).toBe(plan);
  });
});
