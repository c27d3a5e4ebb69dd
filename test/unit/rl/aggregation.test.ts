import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { type Aggregation, aggregationWeights } from "../../../src/rl/aggregation.ts";
import { coefficients, tokenLoss } from "../../reference/rl-losses.ts";
import { ppo } from "../../reference/rl-token-losses.ts";
import { codeOf } from "../../support/errors.ts";
import { GOLDEN_RL, GOLDEN_RL_ABSENT, goldenBatch } from "../../support/golden-rl.ts";
import { expectClose } from "../../support/gpu.ts";

const CLOSE = { abs: 1e-14, rel: 1e-12 };

const MODES: readonly Aggregation[] = [
  { mode: "token-mean" },
  { mode: "seq-mean-token-mean" },
  { mode: "seq-mean-token-sum" },
  { mode: "seq-mean-token-sum-norm", horizon: 7 },
];

/** [episodes][requests] */
const counts = fc.array(fc.array(fc.nat(5), { maxLength: 3 }), { maxLength: 5 });

describe("aggregation weights", () => {
  it("of two episodes, one of two requests, by hand", () => {
    const weights = (aggregation: Aggregation, per: "request" | "episode") =>
      aggregationWeights([[2, 3], [5]], aggregation, per).flatMap((row) => Array.from(row));
    const [tokens, means, sums, norm] = MODES as [
      Aggregation,
      Aggregation,
      Aggregation,
      Aggregation,
    ];
    expectClose(weights(tokens, "request"), [1 / 10, 1 / 10, 1 / 10], CLOSE);
    expectClose(weights(means, "request"), [1 / 6, 1 / 9, 1 / 15], CLOSE);
    expectClose(weights(means, "episode"), [1 / 10, 1 / 10, 1 / 10], CLOSE);
    expectClose(weights(sums, "request"), [1 / 3, 1 / 3, 1 / 3], CLOSE);
    expectClose(weights(sums, "episode"), [1 / 2, 1 / 2, 1 / 2], CLOSE);
    expectClose(weights(norm, "episode"), [1 / 14, 1 / 14, 1 / 14], CLOSE);
  });

  it.each(MODES)("$mode by requests is that of the oracle", (aggregation) => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { maxLength: 6 }), (lengths) => {
        const mask = lengths.map((length) => new Float64Array(length).fill(1));
        const oracle = coefficients(mask, aggregation).map((row) => row[0] ?? 0);
        const [weights] = aggregationWeights([lengths], aggregation, "request");
        expectClose(weights ?? [], oracle, CLOSE);
      }),
    );
  });

  it.each(["request", "episode"] as const)(
    "means of a constant are that constant, per %s",
    (per) => {
      fc.assert(
        fc.property(counts, (tokens) => {
          for (const mode of ["token-mean", "seq-mean-token-mean"] as const) {
            const weights = aggregationWeights(tokens, { mode }, per);
            const sum = tokens.flatMap((row, i) => row.map((n, k) => n * Number(weights[i]?.[k])));
            const any = tokens.flat().some((n) => n > 0);
            expectClose([sum.reduce((a, b) => a + b, 0)], [any ? 1 : 0], CLOSE);
          }
        }),
      );
    },
  );

  it("an episode of one request is that request", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5)), fc.constantFrom(...MODES), (lengths, aggregation) => {
        const tokens = lengths.map((n) => [n]);
        expect(aggregationWeights(tokens, aggregation, "episode")).toEqual(
          aggregationWeights(tokens, aggregation, "request"),
        );
      }),
    );
  });

  it("feature 22: the loss does not depend on how a step is split into batches", () => {
    const terms = fc.array(
      fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 1 }),
      {
        minLength: 2,
      },
    );
    fc.assert(
      fc.property(terms, fc.constantFrom(...MODES), fc.nat(9), (rows, aggregation, cut) => {
        // Weights are made once a step, from counts with multiplicity; batches only add up.
        const weights = aggregationWeights(
          rows.map((row) => [row.length]),
          aggregation,
          "episode",
        );
        const loss = (from: number, to: number) =>
          rows.reduce((sum, row, i) => {
            const weight = i >= from && i < to ? Number(weights[i]?.[0]) : 0;
            return sum + row.reduce((total, term) => total + weight * term, 0);
          }, 0);
        const at = cut % rows.length;
        const whole = tokenwise(rows, aggregation);
        expectClose([loss(0, at) + loss(at, rows.length)], [whole], { abs: 1e-10, rel: 1e-10 });
      }),
    );
  });

  it("feature 22: a duplicate counts as often as it was sampled", () => {
    const [[once] = []] = aggregationWeights([[4], [2]], { mode: "token-mean" }, "request");
    const [[twice] = []] = aggregationWeights([[4], [4], [2]], { mode: "token-mean" }, "request");
    expectClose([Number(once), Number(twice)], [1 / 6, 1 / 10], CLOSE);
  });

  it("refuses counts and horizons that are none", () => {
    const norm = (horizon: number) => () =>
      aggregationWeights([[1]], { mode: "seq-mean-token-sum-norm", horizon }, "request");
    for (const horizon of [0, -1, Number.NaN, Infinity]) {
      expect(codeOf(norm(horizon))).toBe("argument_invalid");
    }
    for (const tokens of [-1, 0.5, Number.NaN]) {
      const weigh = () => aggregationWeights([[tokens]], { mode: "token-mean" }, "request");
      expect(codeOf(weigh)).toBe("argument_invalid");
    }
  });
});

/** What each mode says, written out. */
function tokenwise(rows: readonly number[][], aggregation: Aggregation): number {
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const mean = (values: readonly number[]) => sum(values) / values.length;
  if (aggregation.mode === "token-mean") return mean(rows.flat());
  if (aggregation.mode === "seq-mean-token-mean") return mean(rows.map(mean));
  const sums = mean(rows.map(sum));
  return "horizon" in aggregation ? sums / aggregation.horizon : sums;
}

describe.skipIf(!GOLDEN_RL)(`golden values of aggregation${GOLDEN_RL_ABSENT}`, () => {
  const MODE_OF: Readonly<Record<string, Aggregation>> = {
    "token-mean": { mode: "token-mean" },
    "seq-mean-token-sum": { mode: "seq-mean-token-sum" },
    "seq-mean-token-sum-norm": { mode: "seq-mean-token-sum-norm", horizon: 4 },
    "seq-mean-token-mean": { mode: "seq-mean-token-mean" },
  };

  it.each(Object.keys(MODE_OF))("loss.vanilla(0.2/0.2,c=3).%s", (name) => {
    if (!GOLDEN_RL) return;
    const { inputs, expected } = GOLDEN_RL;
    const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
    const lengths = inputs.mask.map((row) => [Array.from(row).filter((m) => m === 1).length]);
    const weights = aggregationWeights(lengths, MODE_OF[name] as Aggregation, "episode");
    const importance = inputs.mask.map((row, i) =>
      new Float64Array(row.length).fill(Number(weights[i]?.[0])),
    );
    // With the weights where importance goes, and sums: Σ weight·term.
    const sums = { mode: "token-mean", totals: { tokens: 1, sequences: 1 } } as const;
    const { value } = tokenLoss(
      ppo({ low: 0.2, high: 0.2, dual: 3 }),
      { ...batch, importance },
      sums,
    );
    // verl adds 1e-8 to the length of a sequence.
    const abs = name === "seq-mean-token-mean" ? 1e-8 : 1e-12;
    const golden = Number(expected[`loss.vanilla(0.2/0.2,c=3).${name}`]);
    expectClose([value], [golden], { abs, rel: 0 });
  });
});
