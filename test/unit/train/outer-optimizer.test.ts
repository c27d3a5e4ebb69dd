import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parameter } from "../../../engine/tensor/state.ts";
import {
  OuterOptimizer,
  type OuterValues,
  outerStep,
} from "../../../src/train/cluster/outer-optimizer.ts";
import { checkWay, isMeeting, type Way, wayFlags } from "../../../src/train/cluster/way.ts";
import { codeOf } from "../../support/errors.ts";

const PAPER = { outerLr: 0.7, outerMomentum: 0.9 };

function from(...parameters: number[]): OuterValues {
  return {
    parameters: Float32Array.from(parameters),
    velocity: new Float32Array(parameters.length),
  };
}

describe("an outer step", () => {
  it("is what torch.optim.SGD(lr=0.7, momentum=0.9, nesterov=True) does", () => {
    // by hand: v = 0.5, then 0.9·0.5 + 0.25 = 0.7; θ = 1 − 0.7·(0.5 + 0.9·0.5), then − 0.7·(0.25 + 0.9·0.7)
    const first = outerStep(from(1, -2), Float32Array.of(0.5, 0), PAPER);
    expect([...first.velocity]).toEqual([0.5, 0]);
    expect([...first.parameters]).toEqual([Math.fround(0.335), -2]);
    const second = outerStep(first, Float32Array.of(0.25, -1), PAPER);
    expect(second.velocity[0]).toBeCloseTo(0.7, 7);
    expect(second.parameters[0]).toBeCloseTo(-0.281, 7);
    expect(second.velocity[1]).toBe(-1);
    expect(second.parameters[1]).toBeCloseTo(-0.67, 7);
  });

  it("takes over the mean of the nodes at a rate of 1 without momentum", () => {
    const outer = from(1, 2, -3, 0);
    const mean = Float32Array.of(1.5, 1.75, -3, -0.125);
    const gradient = outer.parameters.map((value, i) => value - (mean[i] as number));
    const next = outerStep(outer, gradient, { outerLr: 1, outerMomentum: 0 });
    expect(next.parameters).toEqual(mean);
  });

  it("leaves alone what it is given", () => {
    const before = from(1, 2);
    const gradient = Float32Array.of(1, 1);
    outerStep(before, gradient, PAPER);
    expect(before).toEqual(from(1, 2));
    expect([...gradient]).toEqual([1, 1]);
  });

  it("is that of f64 to a rounding, over many steps", () => {
    const rates = fc.record({
      outerLr: fc.double({ min: 0.01, max: 2, noNaN: true }),
      outerMomentum: fc.double({ min: 0, max: 0.99, noNaN: true }),
    });
    const floats = fc.float({ min: -1, max: 1, noNaN: true });
    const gradients = fc.array(fc.tuple(floats, floats), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(rates, fc.tuple(floats, floats), gradients, (way, initial, steps) => {
        let values = from(...initial);
        const expected = initial.map((value) => ({ value: Math.fround(value), velocity: 0 }));
        for (const [round, step] of steps.entries()) {
          values = outerStep(values, Float32Array.from(step), way);
          for (const [i, own] of expected.entries()) {
            // the look ahead: where the momentum would lead, and then the gradient
            own.velocity = way.outerMomentum * own.velocity + (step[i] as number);
            own.value -= way.outerLr * (step[i] as number);
            own.value -= way.outerLr * way.outerMomentum * own.velocity;
            const scale = (1 + Math.abs(own.value)) / (1 - way.outerMomentum);
            const most = (1 + round) * 2 ** -22 * scale * (1 + way.outerLr);
            expect(Math.abs((values.parameters[i] as number) - own.value)).toBeLessThan(most);
          }
        }
      }),
    );
  });
});

describe("the velocity in a checkpoint", () => {
  const [a, b] = [parameter([3], 0, "a"), parameter([2, 1], 0, "b")];
  const layout = { parameters: [a, b], offsets: [0, 64], flat: { size: 128 } };

  it("is kept by parameter, and comes back to where it was", async () => {
    const outer = new OuterOptimizer(layout);
    outer.velocity.set([1, 2, 3]);
    outer.velocity.set([4, 5], 64);
    const saved = await outer.save();
    expect(saved).toEqual({
      ...{ kind: "nesterov", stepCount: 0 },
      moments: { velocity: { a: Float32Array.of(1, 2, 3), b: Float32Array.of(4, 5) } },
    });
    const other = new OuterOptimizer(layout);
    other.restore(saved);
    expect(other.velocity).toEqual(outer.velocity);
  });
});

describe("how steps are made one", () => {
  const way = { every: 8, ...PAPER };

  it("nodes meet at every so many steps, and at the last one", () => {
    const met = (every: number, last: number): number[] =>
      Array.from({ length: last }, (_, i) => i + 1).filter((step) =>
        isMeeting({ ...way, every }, step, last),
      );
    expect(met(4, 10)).toEqual([4, 8, 10]);
    expect(met(1, 3)).toEqual([1, 2, 3]);
    expect(met(50, 7)).toEqual([7]);
  });

  it("is written as flags take it", () => {
    expect(wayFlags("ddp")).toEqual(["--sync", "ddp"]);
    expect(wayFlags(way).join(" ")).toBe("--sync diloco:8 --outer-lr 0.7 --outer-momentum 0.9");
  });

  it("is the same at all nodes, or an error that says what theirs is", () => {
    checkWay(way, { ...way });
    checkWay("zero1", "zero1");
    const others: readonly Way[] = [
      ...(["zero1", "ddp"] as const),
      { ...way, every: 9 },
      { ...way, outerLr: 0.5 },
      { ...way, outerMomentum: 0 },
    ];
    for (const other of others) {
      expect(codeOf(() => checkWay(other, way))).toBe("config_invalid");
      expect(codeOf(() => checkWay(way, other))).toBe("config_invalid");
      expect(() => checkWay(other, way)).toThrow(
        `start this node with ${wayFlags(other).join(" ")}`,
      );
    }
  });
});
