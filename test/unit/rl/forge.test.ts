import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { forgeAdvantage } from "../../../src/rl/advantage/forge.ts";
import { rlooAdvantage } from "../../../src/rl/advantage/rloo.ts";
import { rewardToGo } from "../../../src/rl/reward/reward-to-go.ts";
import {
  RunningBaseline,
  trajectoryBaselines,
} from "../../../src/rl/reward/trajectory-baseline.ts";
import { codeOf } from "../../support/errors.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

describe("FEATURE 28: composite reward, reward-to-go, trajectory baseline, discount", () => {
  it("gives A = [0.4, 0.5, 0.5] for r = [−0.1, 0, 1] and B = 0.5", () => {
    const [advantages] = forgeAdvantage([[-0.1, 0, 1]], ["task"], { baseline: [0.5] });
    expectClose(advantages ?? [], [0.4, 0.5, 0.5], CLOSE);
  });

  it("discounts later rewards, from the step that is judged", () => {
    const [advantages] = forgeAdvantage([[1, 2, 4]], ["task"], { gamma: 0.5, baseline: "none" });
    expectClose(advantages ?? [], [1 + 1 + 1, 2 + 2, 4], CLOSE);
  });
});

describe("reward-to-go", () => {
  it("begins with the return and ends with the last reward", () => {
    const rewards = fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(rewards, (list) => {
        const toGo = rewardToGo(list);
        const sum = list.reduceRight((total, reward) => total + reward, 0);
        expectClose([Number(toGo[0]), Number(toGo.at(-1))], [sum, Number(list.at(-1))], CLOSE);
      }),
    );
  });

  it("refuses what is no number, and discounts that grow", () => {
    expect(codeOf(() => rewardToGo([1, Number.NaN]))).toBe("non_finite");
    expect(codeOf(() => rewardToGo([1], 2))).toBe("argument_invalid");
    expect(rewardToGo([])).toEqual(new Float64Array(0));
  });
});

describe("trajectory baselines", () => {
  const returns = [1, 2, 6, null, 5, 3, null];
  const groups = ["a", "a", "a", "a", "lone", "left", "left"];

  it("are the group's mean, the mean of the others, or nothing", () => {
    const of = (mode: Parameters<typeof trajectoryBaselines>[2]) =>
      trajectoryBaselines(returns, groups, mode);
    expectClose(of("group-mean"), [3, 3, 3, 0, 0, 3, 0], CLOSE);
    expectClose(of("leave-one-out"), [4, 3.5, 1.5, 0, 0, 3, 0], CLOSE);
    expect(of("none")).toEqual(new Float64Array(7));
  });

  it("leave one out as RLOO does", () => {
    const [rewards, all] = [
      [1, 0, 0.5, 3],
      [0, 0, 0, 0],
    ];
    const baselines = trajectoryBaselines(rewards, all, "leave-one-out");
    expectClose(
      rewards.map((reward, i) => reward - Number(baselines[i])),
      rlooAdvantage(rewards, all),
      CLOSE,
    );
  });
});

describe("the running baseline", () => {
  it("is the decayed mean of what came before, task by task", () => {
    const baseline = new RunningBaseline(0.5);
    expect(baseline.of("a")).toBe(0);
    baseline.add("a", 3);
    expect([baseline.of("a"), baseline.of("b")]).toEqual([3, 0]);
    baseline.add("a", 6);
    expectClose([baseline.of("a")], [(0.5 * 3 + 6) / 1.5], CLOSE);
  });

  it("goes on from its state", () => {
    const [first, second] = [new RunningBaseline(), new RunningBaseline()];
    for (const value of [1, 2, 7]) first.add("a", value);
    for (const value of [1, 2]) second.add("a", value);
    const resumed = new RunningBaseline(0.95, JSON.parse(JSON.stringify(second.state)));
    resumed.add("a", 7);
    expect(resumed.of("a")).toBe(first.of("a"));
    expect(second.of("a")).not.toBe(first.of("a"));
  });

  it("refuses decays outside [0, 1] and returns that are no numbers", () => {
    expect(codeOf(() => new RunningBaseline(1.5))).toBe("argument_invalid");
    expect(codeOf(() => new RunningBaseline().add("a", Number.NaN))).toBe("non_finite");
  });
});

describe("the advantage of forge", () => {
  const rewards = [[0.5, 0.5], [0], null, [0, 0, 2]];
  const groups = [1, 1, 1, 1];

  it("compares with the group, and passes by what has no reward", () => {
    const result = forgeAdvantage(rewards, groups);
    expect(result.map((row) => row && [...row])).toEqual([[0, -0.5], [-1], null, [1, 1, 1]]);
  });

  it("divides by the deviation of returns, of the group or of the batch", () => {
    // Returns 1, 0, 2 and, in a group of its own, 5.
    const more = [...rewards, [5]];
    const scaled = (scale: "group" | "batch") =>
      forgeAdvantage(more, [...groups, 2], { scale, epsilon: 0 });
    expect(scaled("group").map((row) => row?.at(-1))).toEqual([-0.5, -1, undefined, 1, 5]);
    const deviation = Math.sqrt(14 / 3);
    expectClose(
      scaled("batch").flatMap((row) => (row ? [Number(row.at(-1))] : [])),
      [-0.5, -1, 1, 5].map((a) => a / deviation),
      CLOSE,
    );
    expect(forgeAdvantage([[2]], [0], { scale: "batch" })[0]?.[0]).toBe(2);
  });

  it("gives exact zeros on the first step of equal episodes, scaled or not", () => {
    const equal = [[0.1], [0.1], [0.1]];
    for (const scale of ["none", "group", "batch"] as const) {
      const result = forgeAdvantage(equal, [0, 0, 0], { scale });
      expect(result.map((row) => row?.[0])).toEqual([0, 0, 0]);
    }
  });

  it("takes an episode without a step for one that earned nothing", () => {
    const [empty, other] = forgeAdvantage([[], [1]], [0, 0]);
    expect([empty?.length, other?.[0]]).toEqual([0, 0.5]);
  });

  it("refuses inputs that do not fit", () => {
    expect(codeOf(() => forgeAdvantage(rewards, [1]))).toBe("shape_mismatch");
    expect(codeOf(() => forgeAdvantage([[1]], [1], { baseline: [] }))).toBe("shape_mismatch");
    expect(codeOf(() => forgeAdvantage([[1]], [1], { baseline: [Number.NaN] }))).toBe("non_finite");
    expect(codeOf(() => forgeAdvantage([[Number.NaN]], [1]))).toBe("non_finite");
    expect(codeOf(() => forgeAdvantage([[1]], [1], { gamma: 3 }))).toBe("argument_invalid");
  });
});
