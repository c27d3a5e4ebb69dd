import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { cispo } from "../../../src/rl/algorithm/cispo.ts";
import { grpo } from "../../../src/rl/algorithm/grpo.ts";
import { gspo } from "../../../src/rl/algorithm/gspo.ts";
import { rloo } from "../../../src/rl/algorithm/rloo.ts";
import { explainedVariance, policyMetrics } from "../../../src/rl/metrics.ts";
import { codeOf } from "../../support/errors.ts";
import { GOLDEN_RL, GOLDEN_RL_ABSENT, goldenBatch } from "../../support/golden-rl.ts";
import { expectClose } from "../../support/gpu.ts";
import { flatRows } from "../../support/policy-batch.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };
const OLD = [-1, -1, -1, -1];
const RATIOS = [2, 0.5, 1, 1.5];
const TOKENS = {
  old: OLD,
  logprobs: RATIOS.map((r) => -1 + Math.log(r)),
  advantages: [1, 1, -1, -2],
};

describe.skipIf(!GOLDEN_RL)(`golden metrics${GOLDEN_RL_ABSENT}`, () => {
  it("metric.clipfrac, metric.ppo_kl, kl.k1.mean and kl.k3.mean", () => {
    if (!GOLDEN_RL) return;
    const { inputs, expected } = GOLDEN_RL;
    const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
    const metrics = policyMetrics(
      {
        ...{ logprobs: flatRows(batch.logp), old: flatRows(batch.old) },
        ...{ advantages: flatRows(batch.advantages), weights: flatRows(batch.mask) },
        reference: flatRows(inputs.logp_ref),
      },
      grpo(),
    );
    const names = {
      "losses/clip_fraction": "metric.clipfrac(0.2)",
      "losses/old_approx_kl": "metric.ppo_kl(k1 mean)",
      "reference/k1": "kl.k1.mean",
      "reference/kl": "kl.k3.mean",
    };
    for (const [ours, theirs] of Object.entries(names)) {
      // verl adds 1e-8 to the number of tokens.
      const tolerance = { abs: 1e-8, rel: 0 };
      expectClose([Number(metrics[ours])], [Number(expected[theirs])], tolerance, ours);
    }
  });
});

describe("metrics of the policy", () => {
  it("by hand", () => {
    const metrics = policyMetrics(TOKENS, grpo());
    const logs = RATIOS.map(Math.log);
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const expected = {
      "losses/approx_kl": mean(RATIOS.map((r) => r - 1 - Math.log(r))),
      "losses/old_approx_kl": -mean(logs),
      "losses/clip_fraction": 1 / 4,
      ...{ "ratio/mean": 1.25, "ratio/min": 0.5, "ratio/max": 2 },
      "ratio/std": Math.sqrt((0.75 ** 2 + 0.75 ** 2 + 0.25 ** 2 + 0.25 ** 2) / 3),
      ...{ "advantage/mean": -0.25, "advantage/min": -2, "advantage/max": 1 },
      "advantage/std": Math.sqrt((2 * 1.25 ** 2 + 0.75 ** 2 + 1.75 ** 2) / 3),
      ...{ "regime/positive_up": 0.25, "regime/positive_down": 0.25 },
      ...{ "regime/negative_up": 0.25, "regime/negative_down": 0 },
    };
    expect(Object.keys(metrics).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) {
      expectClose([Number(metrics[name])], [value], CLOSE, name);
    }
  });

  it("do not count padding, whatever it holds", () => {
    const padded = {
      logprobs: [...TOKENS.logprobs, Number.NaN, 5],
      old: [...OLD, 0, -Infinity],
      advantages: [...TOKENS.advantages, 9, Number.NaN],
      weights: [0.1, 0.2, 0.3, 0.4, 0, 0],
      offsets: [0, 2, 6],
    };
    const whole = { ...TOKENS, offsets: [0, 2, 4] };
    for (const made of [grpo(), gspo({ clipLow: 0.1, clipHigh: 0.1 }), cispo()]) {
      expect(policyMetrics(padded, made)).toEqual(policyMetrics(whole, made));
    }
  });

  it("count the ratio of the sequence where the loss has one", () => {
    // Means of log-ratios: 0 and log √1.5; sums: 0 and log 1.5.
    const tokens = { ...TOKENS, advantages: [1, 1, 1, 1], offsets: [0, 2, 4] };
    const fraction = (made: ReturnType<typeof grpo>) =>
      policyMetrics(tokens, made)["losses/clip_fraction"];
    expect(fraction(gspo({ clipHigh: 0.2 }))).toBe(0.5);
    expect(fraction(gspo({ clipHigh: 0.3 }))).toBe(0);
    expect(fraction(rloo({ clipHigh: 0.3 }))).toBe(0.5);
  });

  it("are 0 and 1 where nothing has moved", () => {
    const metrics = policyMetrics({ ...TOKENS, logprobs: OLD, reference: OLD }, grpo());
    for (const name of ["losses/approx_kl", "losses/clip_fraction", "ratio/std", "reference/kl"]) {
      expect(metrics[name]).toBe(0);
    }
    expect([metrics["ratio/min"], metrics["ratio/max"]]).toEqual([1, 1]);
    expect(metrics["losses/old_approx_kl"]).toBeCloseTo(0, 15);
  });

  it("have a KL of 0 and above, and shares from 0 to 1", () => {
    const logs = fc.array(fc.double({ min: -900, max: 0, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(logs, (logprobs) => {
        const half = logprobs.map(() => -1);
        const metrics = policyMetrics({ logprobs, old: half, advantages: half }, grpo());
        expect(metrics["losses/approx_kl"]).toBeGreaterThanOrEqual(0);
        const up = Number(metrics["regime/negative_up"]);
        const down = Number(metrics["regime/negative_down"]);
        expect(up + down).toBeLessThanOrEqual(1 + 1e-12);
        expect(Object.values(metrics).every(Number.isFinite)).toBe(true);
      }),
    );
  });

  it("are NaN without a token, and refused where rows do not agree or hold no numbers", () => {
    const none = policyMetrics({ logprobs: [], old: [], advantages: [] }, grpo());
    expect(none["losses/approx_kl"]).toBeNaN();
    expect(none["ratio/max"]).toBeNaN();
    const short = { ...TOKENS, old: [-1] };
    expect(codeOf(() => policyMetrics(short, grpo()))).toBe("shape_mismatch");
    const bad = { ...TOKENS, old: [-1, Number.NaN, -1, -1] };
    expect(codeOf(() => policyMetrics(bad, grpo()))).toBe("non_finite");
  });
});

describe("explained variance", () => {
  const returns = [1, 2, 4];

  it("is 1 for a critic that knows, 0 for one that knows the mean, below 0 for a worse one", () => {
    expect(explainedVariance(returns, returns)).toBe(1);
    expectClose([explainedVariance([7, 7, 7], returns)], [0], CLOSE);
    expect(explainedVariance([-1, -2, -4], returns)).toBeLessThan(0);
    // A constant error explains everything: variance, not error.
    expectClose([explainedVariance([2, 3, 5], returns)], [1], CLOSE);
  });

  it("is NaN where returns do not vary", () => {
    expect(explainedVariance([1, 2], [3, 3])).toBeNaN();
    expect(explainedVariance([], [])).toBeNaN();
  });

  it("refuses rows that do not agree", () => {
    expect(codeOf(() => explainedVariance([1], returns))).toBe("shape_mismatch");
  });
});
