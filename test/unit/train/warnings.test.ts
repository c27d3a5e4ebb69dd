import { describe, expect, it } from "vitest";
import type { Metrics, StepMetrics } from "../../../src/train/run/metrics.ts";
import { WARNING_STEPS, warningsOf } from "../../../src/train/run/warnings.ts";

const historyOf = (steps: readonly Metrics[]): StepMetrics[] =>
  steps.map((metrics, i) => ({ step: i + 1, wallTime: i, metrics }));

/** At which steps, counted from 1, each warning is said, step by step as a run says them. */
function said(steps: readonly Metrics[]): Readonly<Record<string, readonly number[]>> {
  const times: Record<string, number[]> = {};
  const history = historyOf(steps);
  for (let step = 1; step <= steps.length; step++) {
    const whole = warningsOf(history.slice(0, step));
    // callers keep the last steps only
    expect(warningsOf(history.slice(Math.max(0, step - WARNING_STEPS), step))).toEqual(whole);
    for (const { code } of whole) times[code] = [...(times[code] ?? []), step];
  }
  return times;
}

const textOf = (metrics: Metrics): string =>
  warningsOf(historyOf([metrics]))
    .map(({ text }) => text)
    .join("\n");

const repeat = (times: number, metrics: Metrics): readonly Metrics[] =>
  Array.from({ length: times }, () => metrics);

const healthy: Metrics = {
  "rollout/groups": 8,
  "rollout/zero_variance_groups": 3,
  "rollout/success_rate": 0.4,
  "rollout/truncated_rate": 0.49,
  "rollout/error_rate": 0.05,
  "mismatch/max_abs": 1e-4,
  "losses/approx_kl": 0.1,
  "losses/clip_fraction": 0.49,
  "losses/entropy": 0.01,
  "losses/explained_variance": 0,
  "losses/grad_norm": 3,
};

it("a healthy run is silent, and so is one that measures nothing", () => {
  expect(said(repeat(60, healthy))).toEqual({});
  expect(said(repeat(60, {}))).toEqual({});
  expect(warningsOf([])).toEqual([]);
});

describe("each rule at its threshold", () => {
  it.each([
    ["zero_variance", { "rollout/zero_variance_groups": 4 }],
    ["truncated", { "rollout/truncated_rate": 0.5 }],
    ["errors", { "rollout/error_rate": 0.1 }],
    ["mismatch", { "mismatch/max_abs": 1.01e-4 }],
    ["approx_kl", { "losses/approx_kl": 0.101 }],
    ["clip_fraction", { "losses/clip_fraction": 0.5 }],
    ["non_finite", { "losses/grad_norm": Number.NaN }],
  ])("%s is said at once", (code, metrics) => {
    expect(said([healthy, { ...healthy, ...metrics }])).toEqual({ [code]: [2] });
  });

  it.each([
    ["entropy", 5, { "losses/entropy": 0.0099 }],
    ["no_success", 20, { "rollout/success_rate": 0 }],
    ["explained_variance", 20, { "losses/explained_variance": -0.01 }],
  ])("%s is said after %i steps in a row", (code, streak, metrics) => {
    const broken = { ...healthy, ...metrics };
    expect(said(repeat(streak - 1, broken))).toEqual({});
    expect(said(repeat(streak + 40, broken))).toEqual({ [code]: [streak] });
    const almost = [...repeat(streak - 1, broken), healthy];
    expect(said([...almost, ...almost, ...almost])).toEqual({});
  });
});

describe("a warning is said once", () => {
  const bad = { ...healthy, "rollout/truncated_rate": 1 };

  it("however long it lasts", () => {
    expect(said(repeat(100, bad))).toEqual({ truncated: [1] });
  });

  it("also where it comes and goes, and again after ten good steps", () => {
    const flapping = Array.from({ length: 40 }, (_, i) => (i % 2 ? healthy : bad));
    expect(said(flapping)).toEqual({ truncated: [1] });
    expect(said([bad, ...repeat(9, healthy), bad])).toEqual({ truncated: [1] });
    expect(said([bad, ...repeat(10, healthy), bad])).toEqual({ truncated: [1, 12] });
  });
});

describe("the words", () => {
  it("say how many groups taught nothing, and which way the tasks should go", () => {
    const seven = { "rollout/groups": 8, "rollout/zero_variance_groups": 7 };
    expect(textOf({ ...seven, "rollout/success_rate": 0.9 })).toBe(
      "7 of 8 groups got the same reward in every sample: nothing to learn from; make tasks harder (90 % succeed), or raise rollout.groupSize",
    );
    expect(textOf({ ...seven, "rollout/success_rate": 0 })).toContain("easier (0 % succeed)");
    expect(textOf(seven)).toContain("harder or easier, or raise rollout.groupSize");
  });

  it("name what is not finite, and count the rest", () => {
    expect(textOf({ a: Number.NaN, b: 1, c: Infinity })).toMatch(/^a is NaN, c is Infinity:/);
    expect(textOf({ "losses/explained_variance": NaN, "mismatch/pearson": NaN })).toBe("");
    expect(textOf({ a: NaN, b: NaN, c: NaN, d: NaN, e: NaN })).toContain("c is NaN and 2 more:");
  });

  it("say by how much sampling and training differ", () => {
    expect(textOf({ "mismatch/max_abs": 0.02 })).toContain("differ by 2.0e-2");
  });

  it("say all or how many were cut off", () => {
    expect(textOf({ "rollout/truncated_rate": 1 })).toMatch(/^all episodes/);
    expect(textOf({ "rollout/truncated_rate": 0.6 })).toMatch(/^60 % of the episodes/);
  });
});
