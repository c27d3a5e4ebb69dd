/** Advantages of tokens and steps, not of whole samples. */
import { describe, expect, it } from "vitest";
import { controlGae } from "../../../src/rl/advantage/control-gae.ts";
import { gaeAdvantage } from "../../../src/rl/advantage/gae.ts";
import { reinforcePlusPlusAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus.ts";
import { reinforcePlusPlusBaselineAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus-baseline.ts";
import { maskedMoments } from "../../../src/rl/statistics.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose, randoms } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

describe("gae over tokens", () => {
  it("is the sum of (γλ)^k·δ, by hand, on rows of different lengths", () => {
    const input = {
      rewards: [[0, 1], [2]],
      values: [[0.5, 0.25], [1]],
      mask: [[1, 1], [1]],
    };
    const { advantages, returns } = gaeAdvantage(input, { gamma: 0.5, lambda: 0.5, whiten: false });
    const last = 1 - 0.25;
    expectClose(advantages[0] ?? [], [0.5 * 0.25 - 0.5 + 0.25 * last, last], CLOSE);
    expectClose(advantages[1] ?? [], [1], CLOSE);
    expectClose(returns[1] ?? [], [2], CLOSE);
  });

  it("steps over a tool's tokens as if they were not there", () => {
    const options = { gamma: 0.9, lambda: 0.8, whiten: false };
    const dense = gaeAdvantage(
      { rewards: [[0, 0, 1]], values: [[1, 2, 3]], mask: [[1, 1, 1]] },
      options,
    );
    const holes = gaeAdvantage(
      {
        rewards: [[0, 0, 0, 0, 0, 1, 0]],
        values: [[9, 1, 9, 9, 2, 3, 9]],
        mask: [[0, 1, 0, 0, 1, 1, 0]],
      },
      options,
    );
    const sampled = (rows: readonly Float64Array[]) => [1, 4, 5].map((t) => Number(rows[0]?.[t]));
    expect(sampled(holes.advantages)).toEqual([...(dense.advantages[0] ?? [])]);
    expect(sampled(holes.returns)).toEqual([...(dense.returns[0] ?? [])]);
  });

  it("whitens the sampled tokens, and takes the returns from before", () => {
    const random = randoms(3);
    const rows = () => [5, 1, 8].map((length) => random.floats(length));
    const input = {
      rewards: rows(),
      values: rows(),
      mask: [5, 1, 8].map((n) => new Uint8Array(n).fill(1)),
    };
    const [raw, white] = [gaeAdvantage(input, { whiten: false }), gaeAdvantage(input)];
    expect(white.returns).toEqual(raw.returns);
    const { mean, variance } = maskedMoments(white.advantages, input.mask);
    expectClose([mean, variance], [0, 1], { abs: 1e-6, rel: 0 });
  });

  it("gives a row without a sampled token zeros, and a batch without any too", () => {
    const rows = { rewards: [[0, 0]], values: [[1, 2]], mask: [[0, 0]] };
    expect(gaeAdvantage(rows, { whiten: false }).advantages).toEqual([new Float64Array(2)]);
    expect(gaeAdvantage(rows).advantages).toEqual([new Float64Array(2)]);
  });

  it("refuses rewards that nobody would get, and inputs that do not fit", () => {
    const input = { rewards: [[0, 1]], values: [[0, 0]], mask: [[1, 1]] };
    expect(codeOf(() => gaeAdvantage({ ...input, mask: [[1, 0]] }))).toBe("argument_invalid");
    expect(codeOf(() => gaeAdvantage({ ...input, mask: [[1, 0.5]] }))).toBe("argument_invalid");
    expect(codeOf(() => gaeAdvantage(input, { gamma: 1.1 }))).toBe("argument_invalid");
    expect(codeOf(() => gaeAdvantage(input, { lambda: Number.NaN }))).toBe("argument_invalid");
    expect(codeOf(() => gaeAdvantage({ ...input, values: [[0]] }))).toBe("shape_mismatch");
    expect(codeOf(() => gaeAdvantage({ ...input, values: [] }))).toBe("shape_mismatch");
    expect(codeOf(() => gaeAdvantage({ ...input, values: [[0, Number.NaN]] }))).toBe("non_finite");
    expect(codeOf(() => gaeAdvantage({ ...input, rewards: [[0, Number.NaN]] }))).toBe("non_finite");
  });
});

describe("gae over an environment's steps", () => {
  const settings = { gamma: 0.9, lambda: 0.5 };

  it("bootstraps from the state after the last step", () => {
    const { advantages, returns } = controlGae(
      { rewards: [1, 1], values: [2, 3], ends: [false, false], lastValue: 4 },
      settings,
    );
    const last = 1 + 0.9 * 4 - 3;
    expectClose(advantages, [1 + 0.9 * 3 - 2 + 0.45 * last, last], CLOSE);
    expectClose(returns, [Number(advantages[0]) + 2, last + 3], CLOSE);
  });

  it("lets nothing through the end of an episode", () => {
    const first = { rewards: [1, 2], values: [0.5, 0.25], ends: [false, true] };
    const alone = controlGae({ ...first, lastValue: 99 }, settings);
    const followed = controlGae(
      { rewards: [1, 2, 50], values: [0.5, 0.25, 70], ends: [false, true, false], lastValue: 9 },
      settings,
    );
    expect(followed.advantages.slice(0, 2)).toEqual(alone.advantages);
    expectClose([Number(alone.advantages[1])], [2 - 0.25], CLOSE);
  });

  it("has γ = 0.99 and λ = 0.95 by default, and refuses what does not fit", () => {
    const input = { rewards: [1], values: [2], ends: [false], lastValue: 3 };
    expectClose(controlGae(input).advantages, [1 + 0.99 * 3 - 2], CLOSE);
    expect(codeOf(() => controlGae({ ...input, ends: [] }))).toBe("shape_mismatch");
    expect(codeOf(() => controlGae({ ...input, lastValue: Number.NaN }))).toBe("non_finite");
    expect(codeOf(() => controlGae({ ...input, rewards: [Number.NaN] }))).toBe("non_finite");
    expect(codeOf(() => controlGae(input, { gamma: -0.1 }))).toBe("argument_invalid");
  });
});

describe("reinforce++", () => {
  it("carries a return over a tool's tokens undiscounted, and gives those 0", () => {
    const [holes] = reinforcePlusPlusAdvantage([[0, 0, 0, 8]], [[1, 0, 1, 1]], 0.5);
    const [dense] = reinforcePlusPlusAdvantage([[0, 0, 8]], [[1, 1, 1]], 0.5);
    expect([0, 2, 3].map((t) => holes?.[t])).toEqual([...(dense ?? [])]);
    expect(Math.abs(Number(holes?.[1]))).toBe(0);
    // Returns 2, 4, 8: mean 14/3, unbiased variance 28/3.
    const expected = [2, 4, 8].map((g) => (g - 14 / 3) / Math.sqrt(28 / 3));
    expectClose(dense ?? [], expected, { abs: 1e-7, rel: 0 });
  });

  it("gives zeros where there is nothing to compare", () => {
    expect(reinforcePlusPlusAdvantage([[3]], [[1]])).toEqual([new Float64Array(1)]);
    expect(reinforcePlusPlusAdvantage([], [])).toEqual([]);
    expect(codeOf(() => reinforcePlusPlusAdvantage([[0, 1]], [[1, 0]]))).toBe("argument_invalid");
  });
});

describe("reinforce++ with a baseline", () => {
  const mask = [[1, 1], [1], [0, 1], [1]];

  it("leaves a sample without a reward out of the moments", () => {
    const result = reinforcePlusPlusBaselineAdvantage([1, 0, null, 0.5], [0, 0, 0, 0], mask);
    const without = reinforcePlusPlusBaselineAdvantage(
      [1, 0, 0.5],
      [0, 0, 0],
      [mask[0] ?? [], mask[1] ?? [], mask[3] ?? []],
    );
    expect([result[0], result[1], result[3]]).toEqual(without);
    expect([...(result[2] ?? [])].map(Math.abs)).toEqual([0, 0]);
  });

  it("refuses masks of other samples", () => {
    const call = () => reinforcePlusPlusBaselineAdvantage([1, 0], [0, 0], mask);
    expect(codeOf(call)).toBe("shape_mismatch");
  });
});
