import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Confidence,
  differenceInterval,
  passAtK,
  successRate,
  wilsonInterval,
} from "../../../src/train/evaluation/statistics.ts";
import { codeOf } from "../../support/errors.ts";

const counts = fc
  .tuple(fc.nat(300), fc.nat(300))
  .map(([a, b]) => ({ successes: Math.min(a, b), trials: Math.max(a, b) }));

describe("passAtK", () => {
  // exact, with Python's fractions: 1 − Fraction(comb(n − c, k), comb(n, k))
  it.each([
    [5, 2, 1, 0.4],
    [10, 3, 5, 0.9166666666666666],
    [200, 7, 10, 0.3055988116177335],
    [200, 1, 100, 0.5],
    [20, 20, 3, 1],
    [8, 0, 4, 0],
    [1000, 500, 100, 1],
    [1000, 3, 999, 1],
    [10_000, 17, 1000, 0.8334802959893385],
  ])("of %d samples, %d successes, k = %d", (trials, successes, k, expected) => {
    expect(passAtK({ successes, trials }, k)).toBeCloseTo(expected, 13);
  });

  it("is the mean over all choices of k samples", () => {
    const isSuccess = [true, false, false, true, false, false, false];
    for (let k = 1; k <= 7; k++) {
      const choices = Array.from({ length: 2 ** 7 }, (_, bits) =>
        isSuccess.filter((_, i) => bits & (1 << i)),
      ).filter((chosen) => chosen.length === k);
      const share = choices.filter((chosen) => chosen.includes(true)).length / choices.length;
      expect(passAtK({ successes: 2, trials: 7 }, k)).toBeCloseTo(share, 14);
    }
  });

  it("is the success rate for k = 1, and never falls with k", () => {
    fc.assert(
      fc.property(counts, (each) => {
        fc.pre(each.trials > 0);
        expect(passAtK(each, 1)).toBeCloseTo(each.successes / each.trials, 12);
        for (let k = 2; k <= each.trials; k++)
          expect(passAtK(each, k)).toBeGreaterThanOrEqual(passAtK(each, k - 1) - 1e-12);
      }),
    );
  });

  it.each([
    [5, 2, 0],
    [5, 2, 6],
    [5, 2, 1.5],
    [0, 0, 1],
    [5, 6, 1],
    [5, -1, 1],
    [Number.NaN, 1, 1],
  ])("refuses %d samples, %d successes, k = %d", (trials, successes, k) => {
    expect(codeOf(() => passAtK({ successes, trials }, k))).toBe("argument_invalid");
  });
});

describe("wilsonInterval", () => {
  // Newcombe 1998, Stat. Med. 17:857–872, table I, method 3
  it.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])("of %d in %d is the published one", (successes, trials, low, high) => {
    const interval = wilsonInterval({ successes, trials });
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  // statsmodels 0.15.0, proportion_confint(method="wilson")
  it.each([
    [81, 263, 0.95, 0.2552885198782742, 0.36620957698280004],
    [20, 20, 0.95, 0.8388748419471804, 1],
    [7, 10, 0.9, 0.44169979586983493, 0.873123416096802],
    [7, 10, 0.99, 0.32002467920110256, 0.9204336834769342],
    [999, 1000, 0.95, 0.9943574414020421, 0.9998234536293739],
  ])("of %d in %d at %d", (successes, trials, confidence, low, high) => {
    const interval = wilsonInterval({ successes, trials }, confidence as Confidence);
    expect(interval.confidence).toBe(confidence);
    expect(interval.low).toBeCloseTo(low, 14);
    expect(interval.high).toBeCloseTo(high, 14);
  });

  it("holds the share, lies in [0, 1], and mirrors failures", () => {
    fc.assert(
      fc.property(counts, (each) => {
        const { successes, trials } = each;
        const { low, high } = wilsonInterval(each);
        const mirrored = wilsonInterval({ successes: trials - successes, trials });
        const share = successRate(each) ?? 0.5;
        expect(low).toBeGreaterThanOrEqual(0);
        expect(low).toBeLessThanOrEqual(share);
        expect(high).toBeGreaterThanOrEqual(share);
        expect(high).toBeLessThanOrEqual(1);
        expect(mirrored.low).toBeCloseTo(1 - high, 12);
      }),
    );
  });

  it("says nothing without trials", () => {
    expect(wilsonInterval({ successes: 0, trials: 0 })).toMatchObject({ low: 0, high: 1 });
    expect(successRate({ successes: 0, trials: 0 })).toBeNull();
  });
});

describe("differenceInterval", () => {
  // Newcombe 1998, Stat. Med. 17:873–890, table II, method 10; further digits by statsmodels 0.15.0,
  // confint_proportions_2indep(compare="diff", method="newcomb")
  it.each([
    [56, 70, 48, 80, 0.05243147240236498, 0.33387265403690614],
    [9, 10, 3, 10, 0.1705227239345029, 0.809017973535488],
    [6, 7, 2, 7, 0.05822792748231209, 0.8062496375242278],
    [5, 56, 0, 29, -0.038137147903536936, 0.19256001385511165],
    [0, 10, 0, 20, -0.1611251580528194, 0.27753279986288926],
    [0, 10, 0, 10, -0.27753279986288926, 0.27753279986288926],
    [10, 10, 0, 20, 0.6790860371419145, 1],
    [10, 10, 0, 10, 0.6075093504305241, 1],
  ])("of %d in %d less %d in %d", (successes, trials, s, n, low, high) => {
    const interval = differenceInterval({ successes: s, trials: n }, { successes, trials });
    expect(interval.low).toBeCloseTo(low, 13);
    expect(interval.high).toBeCloseTo(high, 13);
  });

  it("says nothing where one of them has no trials", () => {
    const none = { successes: 0, trials: 0 };
    expect(differenceInterval(none, { successes: 5, trials: 5 })).toEqual({
      ...{ low: -1, high: 1 },
      confidence: 0.95,
    });
  });
});
