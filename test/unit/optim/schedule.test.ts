import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { constant, cosine, linear } from "../../../engine/optim/schedule.ts";

const OPTIONS = { lr: 0.1, warmupSteps: 4, totalSteps: 24, finalLr: 0.01 };

describe("constant", () => {
  test("is the same at every step", () => {
    expect([0, 1, 1e9].map(constant(0.3))).toEqual([0.3, 0.3, 0.3]);
  });
});

describe.each([
  ["cosine", cosine],
  ["linear", linear],
] as const)("%s", (_name, make) => {
  test("rises linearly to the highest rate, never from zero", () => {
    const rate = make(OPTIONS);
    const rates = [0, 1, 2, 3, 4].map(rate);
    [0.025, 0.05, 0.075, 0.1, 0.1].forEach((lr, step) => {
      expect(rates[step]).toBeCloseTo(lr, 12);
    });
  });

  test("is half way down at half of the decay, and stays at the final rate", () => {
    const rate = make(OPTIONS);
    expect(rate(14)).toBeCloseTo(0.055, 12);
    for (const step of [24, 25, 1000]) expect(rate(step)).toBeCloseTo(0.01, 12);
  });

  test("starts at the highest rate and ends at zero unless told otherwise", () => {
    const rate = make({ lr: 2, totalSteps: 10 });
    expect(rate(0)).toBe(2);
    expect(rate(10)).toBeCloseTo(0, 12);
  });

  test("never rises after the warm-up and stays within its bounds", () => {
    const options = fc.record({
      lr: fc.double({ min: 0.01, max: 1, noNaN: true }),
      warmupSteps: fc.nat(20),
      totalSteps: fc.nat(50),
    });
    fc.assert(
      fc.property(options, fc.double({ min: 0, max: 1, noNaN: true }), (o, share) => {
        const finalLr = o.lr * share;
        const rate = make({ ...o, finalLr });
        for (let step = 0; step < 80; step++) {
          expect(rate(step)).toBeGreaterThan(-1e-12);
          expect(rate(step)).toBeLessThanOrEqual(o.lr * (1 + 1e-12));
          if (step > o.warmupSteps)
            expect(rate(step)).toBeLessThanOrEqual(rate(step - 1) * (1 + 1e-12));
        }
        expect(rate(80)).toBeCloseTo(finalLr, 12);
      }),
      { numRuns: 200 },
    );
  });
});

describe("cosine and linear", () => {
  test("differ by the shape of the decay", () => {
    expect(cosine(OPTIONS)(9)).toBeCloseTo(0.01 + 0.09 * 0.5 * (1 + Math.cos(Math.PI / 4)), 12);
    expect(linear(OPTIONS)(9)).toBeCloseTo(0.01 + 0.09 * 0.75, 12);
  });
});
