import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drGrpoAdvantage } from "../../../src/rl/advantage/dr-grpo.ts";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { maxrlAdvantage } from "../../../src/rl/advantage/maxrl.ts";
import { opoAdvantage } from "../../../src/rl/advantage/opo.ts";
import { reinforcePlusPlusBaselineAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus-baseline.ts";
import { rlooAdvantage } from "../../../src/rl/advantage/rloo.ts";
import type { GroupId, Reward, SingleRule } from "../../../src/rl/groups.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

/** Each as a function of rewards, groups and the rule for lone samples; longer samples have more reward */
const ADVANTAGES: Readonly<
  Record<string, (rewards: Reward[], groups: GroupId[], single?: SingleRule) => Float64Array>
> = {
  grpo: (rewards, groups, single) => grpoAdvantage(rewards, groups, single && { single }),
  "grpo, batch": (rewards, groups, single) =>
    grpoAdvantage(rewards, groups, { scale: "batch", ...(single && { single }) }),
  dr_grpo: drGrpoAdvantage,
  rloo: rlooAdvantage,
  opo: (rewards, groups, single) =>
    opoAdvantage(
      rewards,
      groups,
      rewards.map((reward) => 1 + Number(reward)),
      single,
    ),
  maxrl: (rewards, groups, single) => maxrlAdvantage(rewards, groups, single && { single }),
};

describe.each(Object.entries(ADVANTAGES))("%s", (name, advantage) => {
  it("is exactly 0 for a group of equal rewards", () => {
    const thirds = [0.1, 0.1, 0.1, 1 / 3, 1 / 3, 1 / 3, 0, 1];
    const result = advantage(thirds, ["a", "a", "a", "b", "b", "b", "c", "c"]);
    expect([...result.slice(0, 6)].map(Math.abs)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(Math.sign(Number(result[7]))).toBe(1);
  });

  it("leaves out what has no reward, and gives it 0", () => {
    const within = advantage([1, 0, 0.5, 1, 0], [7, 7, 7, 8, 8]);
    const result = advantage([1, null, 0, 0.5, null, 1, 0], [7, 7, 7, 7, 8, 8, 8]);
    expectClose(
      [0, 2, 3, 5, 6].map((i) => Number(result[i])),
      within,
      CLOSE,
    );
    expect([result[1], result[4]]).toEqual([0, 0]);
    expect([...advantage([null, null], [0, 0])]).toEqual([0, 0]);
  });

  it("gives a lone sample what the rule says, and one left alone nothing", () => {
    const groups = ["lone", "left", "left", "two", "two"];
    const rewards = [0.75, 0.5, null, 0.25, 1];
    const [lone, left] = advantage(rewards, groups, "reward");
    const scale = name === "grpo, batch" ? Number(lone) / 0.75 : 1;
    expect([lone, left]).toEqual([0.75 * scale, 0]);
    expect(scale).toBeGreaterThan(0);
    expect([...advantage(rewards, groups, "zero").slice(0, 2)].map(Math.abs)).toEqual([0, 0]);
  });

  it("does not depend on the order of the samples", () => {
    const sample = fc.record({
      reward: fc.double({ min: 0, max: 2, noNaN: true }),
      group: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), (samples) => {
        const of = (list: typeof samples) =>
          advantage(
            list.map(({ reward }) => reward),
            list.map(({ group }) => group),
          );
        const [forward, backward] = [of(samples), of([...samples].reverse())];
        expectClose(backward.reverse(), forward, { abs: 1e-6, rel: 1e-9 });
      }),
      { numRuns: 50 },
    );
  });

  it("refuses rewards that are no numbers, and groups for other samples", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => advantage([1, bad], [0, 0]))).toBe("non_finite");
    }
    expect(codeOf(() => advantage([1, 2], [0]))).toBe("shape_mismatch");
    expect(advantage([], [])).toEqual(new Float64Array(0));
  });
});

describe("errors", () => {
  it("name the function that was called", () => {
    const [rewards, groups] = [
      [Number.NaN, 1],
      [0, 0],
    ];
    const mask = [[1], [1]];
    expect(() => grpoAdvantage(rewards, groups)).toThrow(/\] grpo: reward 0 /);
    expect(() => drGrpoAdvantage(rewards, groups)).toThrow(/\] dr-grpo: reward 0 /);
    expect(() => reinforcePlusPlusBaselineAdvantage(rewards, groups, mask)).toThrow(
      /\] reinforce\+\+-baseline: reward 0 /,
    );
  });
});

describe("the default for a lone sample", () => {
  it("is its reward, as in verl, but 0 in MaxRL, where it equals its mean", () => {
    const of = (advantage: (typeof ADVANTAGES)[string]) => advantage([0.5], [0])[0];
    expect(Object.values(ADVANTAGES).map(of)).toEqual([0.5, 0.5 / (1 + 1e-6), 0.5, 0.5, 0.5, 0]);
  });
});

describe("grpo", () => {
  it("adds epsilon to an unbiased deviation", () => {
    const deviation = Math.SQRT1_2;
    const result = grpoAdvantage([0, 1], [0, 0], { epsilon: 0.5 });
    expectClose(result, [-0.5 / (deviation + 0.5), 0.5 / (deviation + 0.5)], CLOSE);
  });

  it("scales by nothing where it is told so", () => {
    const [rewards, groups] = [
      [3, 1, 5],
      [0, 0, 0],
    ];
    expect(grpoAdvantage(rewards, groups, { scale: "none" })).toEqual(
      drGrpoAdvantage(rewards, groups),
    );
  });
});

describe("rloo", () => {
  it("compares with the mean of the others", () => {
    expectClose(rlooAdvantage([1, 2, 6], [0, 0, 0]), [1 - 4, 2 - 3.5, 6 - 1.5], CLOSE);
  });
});

describe("opo", () => {
  it("weighs by length, and takes the plain mean where nothing was sampled", () => {
    expectClose(opoAdvantage([1, 0], [0, 0], [3, 1]), [0.25, -0.75], CLOSE);
    expectClose(opoAdvantage([1, 0], [0, 0], [0, 0]), [0.5, -0.5], CLOSE);
    expect(codeOf(() => opoAdvantage([1, 0], [0, 0], [3]))).toBe("shape_mismatch");
    expect(codeOf(() => opoAdvantage([1, 0], [0, 0], [3, Number.NaN]))).toBe("non_finite");
  });
});

describe("maxrl", () => {
  it("counts a rare success for more, and refuses negative rewards", () => {
    expectClose(maxrlAdvantage([1, 0, 0, 0], [0, 0, 0, 0], { epsilon: 0 }), [3, -1, -1, -1], CLOSE);
    expect(codeOf(() => maxrlAdvantage([1, -0.5], [0, 0]))).toBe("argument_invalid");
  });
});
