import { beforeAll, describe, expect, it } from "vitest";
import {
  AdamW,
  type AdamWOptions,
  compile,
  cosine,
  type Device,
  parameter,
  type State,
  type Tensor,
  tensor,
} from "../../../engine/index.ts";
import { adamwStep } from "../../reference/adamw.ts";
import { clipFactor, globalNorm } from "../../reference/global-norm.ts";
import { device, expectClose, type Randoms, randoms } from "../../support/gpu.ts";
import { TOLERANCES } from "../../support/tolerances.ts";

const SHAPES: readonly (readonly number[])[] = [[7, 5], [13], [64, 3], [1]];
const STEPS = 20;

let shared: Device;
beforeAll(async () => {
  shared = await device();
});

function makeParameters(random: Randoms): State[] {
  return SHAPES.map((shape, i) => {
    const size = shape.reduce((n, s) => n * s, 1);
    return parameter(shape, random.floats(size), `p${i}`);
  });
}

/** A compiled step whose gradients are its arguments, and gradients to feed it. */
function stepper(options: AdamWOptions): {
  optimizer: AdamW;
  initial: Float32Array[];
  step: (grads: readonly Float32Array[]) => Promise<{ gradNorm: number; isSkipped: number }>;
  draw: (size?: number) => Float32Array[];
} {
  const random = randoms(7);
  const parameters = makeParameters(random);
  const initial = parameters.map((p) => random.floats(p.size));
  parameters.forEach((p, i) => {
    p.write(shared, initial[i] as Float32Array);
  });
  const optimizer = new AdamW(shared, parameters, options);
  const compiled = compile((grads: Tensor[]) => ({ ...optimizer.step(grads) }), { label: "adamw" });
  return {
    optimizer,
    initial,
    draw: (size = 1) => parameters.map((p) => random.floats(p.size, -size, size)),
    step: async (grads) => {
      const result = await compiled(grads.map((g, i) => tensor(g, SHAPES[i])));
      return {
        gradNorm: await result.gradNorm.item(),
        isSkipped: await result.isSkipped.item(),
      };
    },
  };
}

async function readAll(states: readonly State[]): Promise<Float32Array[]> {
  return (await Promise.all(states.map((s) => s.read()))) as Float32Array[];
}

describe("AdamW", () => {
  it("equals the published step in f64 for 20 steps, with decay, clipping, scales and a schedule", async () => {
    const schedule = cosine({ lr: 1e-2, warmupSteps: 5, totalSteps: STEPS });
    const options = {
      lr: schedule,
      betas: [0.8, 0.95],
      eps: 1e-6,
      weightDecay: 0.1,
      clipNorm: 5,
      lrScale: (p: State) => (p.name === "p1" ? 0.5 : 1),
    } as const;
    const { optimizer, initial, step, draw } = stepper(options);
    const expected = initial.map((p) => ({
      p: Float64Array.from(p),
      m: new Float64Array(p.length),
      v: new Float64Array(p.length),
    }));
    for (let n = 0; n < STEPS; n++) {
      const grads = draw(n % 2 ? 1 : 0.1);
      const { gradNorm, isSkipped } = await step(grads);
      const norm = globalNorm(grads.flatMap((g) => [...g]));
      expectClose([gradNorm], [norm], TOLERANCES.row, `norm of step ${n}`);
      expect(isSkipped).toBe(0);
      expected.forEach(({ p, m, v }, i) => {
        const shape = SHAPES[i] as readonly number[];
        adamwStep(p, grads[i] as Float32Array, m, v, {
          lr: schedule(n),
          beta1: 0.8,
          beta2: 0.95,
          epsilon: 1e-6,
          step: n + 1,
          multiplier: clipFactor(norm, 5) as number,
          groupOf: () => ({
            lrScale: i === 1 ? 0.5 : 1,
            weightDecay: shape.length >= 2 ? 0.1 : 0,
          }),
        });
      });
    }
    const actual = await readAll(optimizer.parameters);
    expected.forEach(({ p }, i) => {
      expectClose(actual[i] as Float32Array, p, TOLERANCES.optimizer, `parameter ${i}`);
    });
  });

  it("leaves every bit as it was when a gradient is NaN, says so, and goes on", async () => {
    const { optimizer, step, draw } = stepper({ lr: 1e-2, weightDecay: 0.1, clipNorm: 1 });
    await step(draw());
    const states = [...optimizer.parameters, optimizer.m, optimizer.u];
    const before = await readAll(states);
    const bad = draw();
    (bad[2] as Float32Array)[5] = Number.NaN;
    expect((await step(bad)).isSkipped).toBe(1);
    expect(await readAll(states)).toEqual(before);
    const infinite = draw();
    (infinite[0] as Float32Array)[0] = Number.POSITIVE_INFINITY;
    expect((await step(infinite)).isSkipped).toBe(1);
    expect(await readAll(states)).toEqual(before);
    expect((await step(draw())).isSkipped).toBe(0);
    expect(await readAll(states)).not.toEqual(before);
  });

  it("takes an epsilon of 1e-15 and gradients of 1e-12 without underflow", async () => {
    const { optimizer, initial, step, draw } = stepper({ lr: 1e-3, eps: 1e-15 });
    const grads = draw(1e-12).flatMap((g) => [...g]);
    let at = 0;
    await step(initial.map((p) => Float32Array.from(p, () => grads[at++] as number)));
    const before = initial.flatMap((p) => [...p]);
    // the first step of Adam is lr in size, but for epsilon
    const expected = before.map((x, i) => {
      const g = grads[i] as number;
      return x - (1e-3 * g) / (Math.abs(g) + 1e-15);
    });
    const actual = (await readAll(optimizer.parameters)).flatMap((p) => [...p]);
    expectClose(actual, expected, TOLERANCES.optimizer);
  });

  it("FEATURE 26: a gradient of 1e-14 moves a weight by about lr", async () => {
    const { optimizer, initial, step } = stepper({ lr: 1e-3, betas: [0.9, 0.95], eps: 1e-15 });
    await step(initial.map((p) => new Float32Array(p.length).fill(-1e-14)));
    const moved = (await readAll(optimizer.parameters)).flatMap((p) => [...p]);
    const expected = initial.flatMap((p) => [...p].map((x) => x + (1e-3 * 1e-14) / 1.1e-14));
    expectClose(moved, expected, TOLERANCES.optimizer);
  });

  it("goes on from saved arrays as if nothing had happened", async () => {
    const options = { lr: 1e-2, weightDecay: 0.1 };
    const first = stepper(options);
    const grads = [first.draw(), first.draw(), first.draw()];
    await first.step(grads[0] as Float32Array[]);
    await first.step(grads[1] as Float32Array[]);
    const saved = await first.optimizer.save();
    const parameters = await readAll(first.optimizer.parameters);
    expect(saved.stepCount).toBe(2);
    expect(saved.moments["m"]?.["p1"]).toHaveLength(13);
    const second = stepper(options);
    second.optimizer.parameters.forEach((p, i) => {
      p.write(shared, parameters[i] as Float32Array);
    });
    second.optimizer.restore(saved);
    await first.step(grads[2] as Float32Array[]);
    await second.step(grads[2] as Float32Array[]);
    expect(await readAll(second.optimizer.parameters)).toEqual(
      await readAll(first.optimizer.parameters),
    );
  });

  it("corrects moments by their own age, which is saved with them", async () => {
    const options = { lr: (step: number): number => (step < 40 ? 1 : 1e-2) };
    const [late, early] = [stepper(options), stepper({ lr: 1e-2 })];
    Object.assign(late.optimizer.flat, { stepCount: 40, momentsSince: 40 });
    const grads = [late.draw(), late.draw()] as const;
    for (const own of [late, early]) await own.step(grads[0]);
    const saved = await late.optimizer.save();
    expect(saved).toMatchObject({ stepCount: 41, momentsSince: 40 });
    expect(await early.optimizer.save()).not.toHaveProperty("momentsSince");
    late.optimizer.restore(await early.optimizer.save());
    expect(late.optimizer.flat).toMatchObject({ stepCount: 1, momentsSince: 0 });
    late.optimizer.restore(saved);
    for (const own of [late, early]) await own.step(grads[1]);
    expect(await readAll(late.optimizer.parameters)).toEqual(
      await readAll(early.optimizer.parameters),
    );
  });

  it("refuses the state of another model or optimizer, and gradients that are not one for each parameter", async () => {
    const { optimizer } = stepper({ lr: 1e-2 });
    const saved = await optimizer.save();
    const other = new AdamW(shared, [parameter([7, 5], 0, "p0"), parameter([12], 0, "p1")], {
      lr: 1,
    });
    expect(() => other.restore(saved)).toThrow(expect.objectContaining({ code: "shape_mismatch" }));
    expect(() => optimizer.restore({ ...saved, kind: "sgd" })).toThrow(
      expect.objectContaining({ code: "argument_invalid" }),
    );
    const short = compile(() => ({ ...optimizer.step([]) }));
    await expect(short()).rejects.toMatchObject({ code: "argument_invalid" });
    const twins = new AdamW(shared, [parameter([4], 0, "same"), parameter([4], 0, "same")], {
      lr: 1,
    });
    await expect(twins.save()).rejects.toMatchObject({ code: "argument_invalid" });
  });

  it("steps the parts that several own as one steps all, group by group", async () => {
    const random = randoms(8);
    const sizes = [[12, 40], [100], [64, 8]];
    const initial = sizes.map((shape) => random.floats(shape.reduce((a, b) => a * b)));
    const make = () => {
      const parameters = sizes.map((shape, i) =>
        parameter(shape, initial[i] as Float32Array, `p${i}`),
      );
      const options = { lr: 0.05, weightDecay: 0.1, lrScale: (p: State) => (p.rank === 1 ? 2 : 1) };
      return new AdamW(shared, parameters, options);
    };
    const whole = make();
    const { size } = whole.flat.flat;
    const ranges = [
      { from: 0, to: 256 },
      { from: 256, to: 256 },
      { from: 256, to: 576 },
      { from: 576, to: size },
    ];
    const owners = ranges
      .filter(({ from, to }) => to > from)
      .map((range) => ({ range, own: make() }));
    for (const { range, own } of owners) {
      own.own(range);
      expect([own.m.size, own.u.size]).toEqual([range.to - range.from, range.to - range.from]);
    }
    const stepOf = (optimizer: AdamW) => compile((g: Tensor) => ({ ...optimizer.step(g) }));
    const all = stepOf(whole);
    const steps = owners.map(({ own }) => stepOf(own));
    for (let n = 0; n < 3; n++) {
      const gradient = random.floats(size);
      await all(tensor(gradient));
      for (const [i, { range }] of owners.entries())
        await steps[i]?.(tensor(gradient.slice(range.from, range.to)));
    }
    const [flat, m, u] = [whole.flat.flat, whole.m, whole.u];
    for (const { range, own } of owners) {
      const of = async (state: State): Promise<unknown> =>
        state.readPart(shared, range.from, range.to);
      expect(await own.flat.flat.readPart(shared, range.from, range.to)).toEqual(await of(flat));
      expect([await own.m.read(), await own.u.read()]).toEqual([await of(m), await of(u)]);
      const rest = await own.flat.flat.read();
      const untouched = await make().flat.flat.read();
      expect(rest.subarray(0, range.from)).toEqual(untouched.subarray(0, range.from));
      expect(rest.subarray(range.to)).toEqual(untouched.subarray(range.to));
    }
  });

  it("of a part neither saves nor takes the gradients of all", async () => {
    const p = parameter([256], 0, "p");
    const optimizer = new AdamW(shared, [p], { lr: 1 });
    const before = await optimizer.save();
    optimizer.own({ from: 64, to: 128 });
    await expect(optimizer.save()).rejects.toMatchObject({ code: "argument_invalid" });
    const step = compile((g: Tensor) => ({ ...optimizer.step(g) }));
    await expect(step(tensor(new Float32Array(256)))).rejects.toMatchObject({
      code: "argument_invalid",
    });
    optimizer.restore(before);
    expect(optimizer.m.size).toBe(256);
    expect(await optimizer.save()).toEqual(before);
  });
});
