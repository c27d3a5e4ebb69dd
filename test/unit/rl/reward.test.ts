import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { weightedReward } from "../../../src/rl/reward/components.ts";
import { compositeReward } from "../../../src/rl/reward/composite.ts";
import { adaptedKlCoefficient, klInReward } from "../../../src/rl/reward/kl-in-reward.ts";
import { overlongPenalty } from "../../../src/rl/reward/overlong.ts";
import { zeroVarianceGroups } from "../../../src/rl/reward/zero-variance.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

describe("weighted components", () => {
  it("add up what applies", () => {
    const weights = { exact: 2, format: 0.5, tokens: 0 };
    expect(weightedReward({ exact: 1, format: -1, tokens: 900 }, weights)).toBe(1.5);
    expect(weightedReward({ exact: null, format: -1, tokens: 900 }, weights)).toBe(-0.5);
    expect(weightedReward({ exact: 0, format: null, tokens: null }, weights)).toBe(0);
  });

  it("are no reward, not a reward of 0, where none with a weight applies", () => {
    const weights = { exact: 1, tokens: 0 };
    expect(weightedReward({ exact: null, tokens: 900 }, weights)).toBeNull();
    expect(weightedReward({}, {})).toBeNull();
  });

  it("refuse names that do not match, and values that are no numbers even if they do not count", () => {
    expect(codeOf(() => weightedReward({ exact: 1 }, { exakt: 1 }))).toBe("argument_invalid");
    expect(codeOf(() => weightedReward({ exact: 1 }, { exact: 1, speed: 1 }))).toBe(
      "argument_invalid",
    );
    expect(codeOf(() => weightedReward({ tokens: Number.NaN }, { tokens: 0 }))).toBe("non_finite");
    expect(codeOf(() => weightedReward({ exact: 1 }, { exact: Number.NaN }))).toBe("non_finite");
  });
});

describe("the composite reward", () => {
  it("pays process on every step, and performance and speed on the last", () => {
    const episode = { process: [-1, null, 0.5], performance: 1, speed: -0.5 };
    expectClose(compositeReward(episode), [-0.1, 0, 0.05 + 1 - 0.05], CLOSE);
    expectClose(
      compositeReward(episode, { process: 1, speed: 0.2 }),
      [-1, 0, 0.5 + 1 - 0.1],
      CLOSE,
    );
    expectClose(compositeReward({ process: [0], performance: 1, speed: null }), [1], CLOSE);
  });

  it("refuses episodes without a step, and parts that are no numbers", () => {
    expect(codeOf(() => compositeReward({ process: [], performance: 1 }))).toBe("argument_invalid");
    for (const bad of [
      { process: [Number.NaN], performance: 1 },
      { process: [0], performance: Number.NaN },
      { process: [0], performance: 1, speed: Number.POSITIVE_INFINITY },
    ]) {
      expect(codeOf(() => compositeReward(bad))).toBe("non_finite");
    }
    const episode = { process: [0], performance: 1 };
    expect(codeOf(() => compositeReward(episode, { speed: Number.NaN }))).toBe("non_finite");
  });
});

describe("the overlong penalty", () => {
  const options = { maxLength: 100, buffer: 20, penalty: 0.5 };

  it("rises over the buffer, and goes on rising", () => {
    const of = [0, 80, 90, 100, 120].map((length) => overlongPenalty(length, options));
    expectClose(of, [0, 0, -0.25, -0.5, -1], CLOSE);
  });

  it("refuses settings that contradict each other", () => {
    for (const bad of [
      { ...options, buffer: 0 },
      { ...options, buffer: 101 },
      { ...options, penalty: -1 },
      { ...options, maxLength: Number.NaN },
    ]) {
      expect(codeOf(() => overlongPenalty(10, bad))).toBe("argument_invalid");
    }
    expect(codeOf(() => overlongPenalty(Number.NaN, options))).toBe("argument_invalid");
  });
});

describe("groups of equal rewards", () => {
  it("are found, those left alone among them, but not those of one", () => {
    const groups = ["a", "b", "a", "b", "one", "left", "left", "none"];
    const rewards = [1, 0, 1, 0.5, 3, 2, null, null];
    expect(zeroVarianceGroups(rewards, groups)).toEqual(["a", "left", "none"]);
  });

  it("are those of two samples and more whose extremes are equal", () => {
    const samples = fc.array(fc.tuple(fc.nat(2), fc.nat(3)), { maxLength: 10 });
    fc.assert(
      fc.property(samples, (list) => {
        const [rewards, groups] = [list.map(([r]) => r), list.map(([, g]) => g)];
        const found = zeroVarianceGroups(rewards, groups);
        for (const group of new Set(groups)) {
          const own = list.filter(([, g]) => g === group).map(([r]) => r);
          const isEqual = own.length > 1 && Math.max(...own) === Math.min(...own);
          expect(found.includes(group)).toBe(isEqual);
        }
      }),
    );
  });

  it("refuses rewards that are no numbers", () => {
    expect(codeOf(() => zeroVarianceGroups([Number.NaN, 1], [0, 0]))).toBe("non_finite");
    expect(codeOf(() => zeroVarianceGroups([1], []))).toBe("shape_mismatch");
  });
});

describe("KL in the reward", () => {
  const input = {
    rewards: [[0, 1], [3]],
    logprobs: [[-1, -2], [Number.NaN]],
    reference: [[-1.5, -1], [-1]],
    mask: [[1, 1], [0]],
  };

  it("prices sampled tokens by each estimator, and reads no others", () => {
    const [near, far] = [0.5, -1];
    for (const [estimator, prices] of [
      ["k1", [near, far]],
      ["k2", [near ** 2 / 2, far ** 2 / 2]],
      ["k3", [Math.exp(-near) + near - 1, Math.exp(-far) + far - 1]],
      ["abs", [0.5, 1]],
    ] as const) {
      const [first, second] = klInReward(input, { coefficient: 0.1, estimator });
      expectClose(first ?? [], [-0.1 * prices[0], 1 - 0.1 * prices[1]], CLOSE, estimator);
      expect([...(second ?? [])]).toEqual([3]);
    }
    expect(klInReward(input, { coefficient: 2 })).toEqual(
      klInReward(input, { coefficient: 2, estimator: "k1" }),
    );
  });

  it("refuses what is no number or does not fit", () => {
    const call = (change: object, coefficient = 1) =>
      codeOf(() => klInReward({ ...input, ...change }, { coefficient }));
    expect(call({ logprobs: [[-1, Number.NEGATIVE_INFINITY], [0]] })).toBe("non_finite");
    expect(call({}, Number.NaN)).toBe("non_finite");
    expect(call({ reference: [[-1], [-1]] })).toBe("shape_mismatch");
    expect(call({ mask: [[1, 2], [0]] })).toBe("argument_invalid");
  });

  it("adapts the coefficient by at most a fifth per horizon", () => {
    expectClose([adaptedKlCoefficient(0.5, 0.11, 100)], [0.5 * (1 + (0.1 * 100) / 10_000)], CLOSE);
    const wide = { target: 1, horizon: 100 };
    expectClose([adaptedKlCoefficient(1, 50, 100, wide)], [1.2], CLOSE);
    expectClose([adaptedKlCoefficient(1, -50, 100, wide)], [0.8], CLOSE);
    expect(codeOf(() => adaptedKlCoefficient(1, Number.NaN, 100))).toBe("non_finite");
    expect(codeOf(() => adaptedKlCoefficient(1, 1, 100, { target: 0 }))).toBe("argument_invalid");
  });
});
