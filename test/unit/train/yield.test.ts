import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { METRICS } from "../../../src/train/run/metric-catalogue.ts";
import { RunDirectory, readMetrics } from "../../../src/train/run/run-directory.ts";
import {
  lagMetrics,
  rewardGain,
  type StepYield,
  throughput,
  variance,
  yieldMetrics,
} from "../../../src/train/run/yield.ts";
import { description, useRuns } from "./runs.ts";

const runs = useRuns();

function stepOf(overrides: Partial<StepYield> = {}): StepYield {
  return {
    parts: {
      rollout: { tokens: 3000, ms: 1500 },
      train: { tokens: 2000, ms: 500 },
      data: { tokens: 2000, ms: 20 },
      io: { tokens: 2000, ms: 0 },
    },
    ms: 2000,
    samples: 50,
    reward: 0.5,
    gradNorm: 1,
    lags: [0, 2, 0, 1],
    ...overrides,
  };
}

it("FEATURE 35: every step of every run log says the yield and what limits it", async () => {
  const run = RunDirectory.create(runs(), description());
  const window: StepYield[] = [];
  for (let step = 1; step <= 3; step++) {
    window.push(stepOf({ reward: 0.1 * step, gradNorm: step }));
    await run.writeMetrics(step, yieldMetrics(window));
  }
  await run.close();
  const log = readMetrics(run.path);
  expect(log.map(({ step }) => step)).toEqual([1, 2, 3]);
  const promised = Object.keys(METRICS).filter(
    (name) =>
      /^(throughput|yield)\/|^time\/(step|rollout|train|data|io)_ms$/.test(name) ||
      ["lag/mean", "lag/max"].includes(name),
  );
  expect(promised).toHaveLength(15);
  for (const { metrics } of log) {
    expect(Object.keys(metrics)).toEqual(expect.arrayContaining(promised));
    expect(metrics).toMatchObject({ "lag/0": 2, "lag/1": 1, "lag/2": 1 });
  }
  const last = log[2]?.metrics ?? {};
  expect(last).toMatchObject({
    "throughput/rollout_tokens_per_s": 2000,
    "throughput/train_tokens_per_s": 4000,
    "throughput/data_tokens_per_s": 100_000,
    "throughput/io_tokens_per_s": 0,
    "time/step_ms": 2000,
    "yield/throughput": 2500,
    "yield/grad_norm_variance": 1,
    "lag/mean": 0.75,
    "lag/max": 2,
  });
  // 0.1 in 50 samples
  expect(last["yield/reward_gain_per_1k_samples"]).toBeCloseTo(2, 12);
  expect(last["yield/j"]).toBeCloseTo(5000, 9);
});

describe("rewardGain", () => {
  it("is the slope of the rewards over the samples, whatever their number in each step", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 2, maxLength: 20 }),
        fc.double({ min: -5, max: 5, noNaN: true }),
        (counts, slope) => {
          let consumed = 0;
          const window = counts.map((samples) => {
            consumed += samples;
            return stepOf({ samples, reward: 7 + (slope * (consumed - samples / 2)) / 1000 });
          });
          expect(rewardGain(window)).toBeCloseTo(slope, 6);
        },
      ),
    );
  });

  it("is not moved by a step without samples, nor by noise around a level", () => {
    const level = [1, 0, 0, 1].map((reward) => stepOf({ reward }));
    expect(rewardGain(level)).toBeCloseTo(0, 12);
    expect(rewardGain([stepOf({ samples: 0, reward: Number.NaN }), ...level])).toBeCloseTo(0, 12);
  });

  it("is 0 where there is no slope yet", () => {
    expect(rewardGain([])).toBe(0);
    expect(rewardGain([stepOf()])).toBe(0);
    expect(rewardGain([stepOf({ samples: 0 }), stepOf({ samples: 0 })])).toBe(0);
  });
});

it("the wall counts once where parts overlap", () => {
  expect(throughput([stepOf({ ms: 1500 })])).toBeCloseTo(5000 / 1.5, 9);
  expect(throughput([stepOf({ ms: 0 })])).toBe(0);
});

it("a variance is unbiased, and none of one number", () => {
  expect(variance([1, 3])).toBe(2);
  expect(variance([5])).toBe(0);
});

it("lags are a histogram with mean and maximum, and nothing of no groups", () => {
  expect(lagMetrics([10, 2, 2])).toEqual({
    "lag/mean": 14 / 3,
    "lag/max": 10,
    "lag/2": 2,
    "lag/10": 1,
  });
  expect(lagMetrics([])).toEqual({ "lag/mean": 0, "lag/max": 0 });
});

it("no step, no metrics", () => {
  expect(yieldMetrics([])).toEqual({});
});
