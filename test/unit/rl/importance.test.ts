import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { type ImportanceCorrection, importanceWeights } from "../../../src/rl/importance/index.ts";
import { mismatch } from "../../../src/rl/importance/mismatch.ts";
import { mismatchMetrics } from "../../../src/rl/metrics.ts";
import {
  mismatch as oracleMismatch,
  sequenceMaskedTokens,
} from "../../reference/rl-corrections.ts";
import { type Rows, tokenLoss } from "../../reference/rl-losses.ts";
import { type PpoClip, ppo } from "../../reference/rl-token-losses.ts";
import { codeOf } from "../../support/errors.ts";
import { flat, GOLDEN_RL, GOLDEN_RL_ABSENT, goldenBatch } from "../../support/golden-rl.ts";
import { expectClose } from "../../support/gpu.ts";
import { flatRows } from "../../support/policy-batch.ts";
import { sampled } from "../../support/rl-episodes.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };

const CORRECTIONS: readonly ImportanceCorrection[] = [
  { kind: "token-tis", cap: 2 },
  { kind: "sequence-tis", cap: 2 },
  { kind: "icepop", low: 0.5, high: 2 },
  { kind: "sequence-mask", high: 3, of: "sum" },
  { kind: "sequence-mask", low: 0.99, high: 1.01, of: "mean" },
  { kind: "sequence-masked-tis", low: 0.99, high: 1.01, cap: 2 },
  { kind: "behaviour-cap", cap: 5 },
];

const logprobs = fc.array(fc.array(fc.double({ min: -30, max: 0, noNaN: true })));
/** Two policies' log-probabilities of the same tokens. */
const pairs = logprobs.chain((old) =>
  fc.tuple(
    fc.constant(old),
    fc.tuple(
      ...old.map((row) =>
        fc.tuple(...row.map((x) => fc.double({ min: x - 3, max: x + 3, noNaN: true }))),
      ),
    ),
  ),
);

describe.skipIf(!GOLDEN_RL)(`golden importance weights${GOLDEN_RL_ABSENT}`, () => {
  const inputs = GOLDEN_RL?.inputs;
  const mask = inputs?.mask ?? [];
  const picked = (rows: Rows = []): number[][] =>
    rows.map((row, i) => sampled(row, mask[i] as ArrayLike<number>));
  const [old, rollout] = [picked(inputs?.logp_old), picked(inputs?.logp_rollout)];

  it.each<[string, ImportanceCorrection]>([
    ["is.token.raw", { kind: "token-tis", cap: 1e9 }],
    ["is.token.TIS(C=2)", { kind: "token-tis", cap: 2 }],
    ["is.token.icepop(0.5,2)", { kind: "icepop", low: 0.5, high: 2 }],
    ["is.seq.raw", { kind: "sequence-tis", cap: 1e9 }],
    ["is.seq.TIS(C=2)", { kind: "sequence-tis", cap: 2 }],
    ["is.seq_mask.trl(max 3)", { kind: "sequence-mask", high: 3, of: "sum" }],
  ])("%s", (name, correction) => {
    const golden = GOLDEN_RL?.expected[name] as Rows | ArrayLike<number>;
    const expected = old.map((row, i) => {
      const own = golden[i];
      return typeof own === "number"
        ? row.map(() => own)
        : sampled(own as ArrayLike<number>, mask[i] as ArrayLike<number>);
    });
    const weights = importanceWeights(correction, old, rollout);
    expectClose(flatRows(weights), flat(expected), CLOSE);
  });

  it.each<[string, PpoClip, ImportanceCorrection]>([
    [
      "loss.vanilla+tokenTIS(2).token-mean",
      { low: 0.2, high: 0.2, dual: 3 },
      { kind: "token-tis", cap: 2 },
    ],
    [
      "loss.decoupled_ppo(0.2,behav cap 5 mask).token-mean",
      { low: 0.2, high: 0.2 },
      { kind: "behaviour-cap", cap: 5 },
    ],
  ])("%s", (name, clip, correction) => {
    if (!inputs) return;
    const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
    const ones = (row: readonly number[]) => row.map(() => 1);
    const advantages = batch.advantages.map((row, i) => sampled(row, mask[i] ?? []));
    const { value } = tokenLoss(
      ppo(clip),
      {
        ...{ logp: picked(inputs.logp_new), old, advantages, mask: old.map(ones) },
        importance: importanceWeights(correction, old, rollout),
      },
      { mode: "token-mean" },
    );
    expectClose([value], [Number(GOLDEN_RL?.expected[name])], CLOSE);
  });
});

describe("importance weights", () => {
  it("FEATURE 25: are 1 where both policies are the same", () => {
    fc.assert(
      fc.property(
        logprobs,
        fc.constantFrom(...CORRECTIONS),
        fc.boolean(),
        (rows, kind, normalize) => {
          for (const row of importanceWeights({ ...kind, normalize }, rows, rows)) {
            expect(Array.from(row)).toEqual(Array.from(row, () => 1));
          }
        },
      ),
    );
  });

  it("stay within the bounds, or are 0", () => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(...CORRECTIONS), ([old, rollout], correction) => {
        const low = "low" in correction ? (correction.low ?? 0) : 0;
        const high = "cap" in correction ? correction.cap : correction.high;
        for (const w of flatRows(importanceWeights(correction, old, rollout))) {
          const isBanded = correction.kind === "icepop" || correction.kind === "sequence-mask";
          expect(w === 0 || (w >= (isBanded ? low : 0) && w <= high)).toBe(true);
        }
      }),
    );
  });

  it("of masked sequences are those of the oracle", () => {
    const bounds = { low: 0.9, high: 1.2, cap: 1.5 };
    fc.assert(
      fc.property(pairs, ([old, rollout]) => {
        const mask = old.map((row) => row.map(() => 1));
        const weights = importanceWeights({ kind: "sequence-masked-tis", ...bounds }, old, rollout);
        const oracle = sequenceMaskedTokens({ old, rollout, mask }, bounds);
        expectClose(flatRows(weights), flatRows(oracle), CLOSE);
      }),
    );
  });

  it("are scaled to a mean of 1 over tokens when asked, and all zeros stay zeros", () => {
    const old = [[-1, -2], [-3]];
    const rollout = [[-1, -1], [-3.5]];
    const weights = importanceWeights({ kind: "token-tis", cap: 2, normalize: true }, old, rollout);
    expectClose([flatRows(weights).reduce((a, b) => a + b, 0)], [3], CLOSE);
    const none = { kind: "icepop", low: 5, high: 6, normalize: true } as const;
    expect(flatRows(importanceWeights(none, old, rollout))).toEqual([0, 0, 0]);
  });

  it("hold what is out of all measure", () => {
    const [[w] = []] = importanceWeights({ kind: "token-tis", cap: 1e300 }, [[0]], [[-900]]);
    expectClose([Number(w)], [Math.exp(20)], CLOSE);
  });

  it("refuse bounds that leave nothing, unknown kinds, and what is no number", () => {
    const weigh = (correction: object, rollout: Rows = [[-1]]) =>
      codeOf(() => importanceWeights(correction as ImportanceCorrection, [[-1]], rollout));
    for (const correction of [
      { kind: "token-tis", cap: 0 },
      { kind: "token-tis", cap: Number.NaN },
      { kind: "icepop", low: 2, high: 1 },
      { kind: "sequence-mask", low: -1, high: 1, of: "sum" },
      { kind: "median-tis", cap: 2 },
    ]) {
      expect(weigh(correction)).toBe("argument_invalid");
    }
    expect(weigh({ kind: "token-tis", cap: 2 }, [[-Infinity]])).toBe("non_finite");
    expect(weigh({ kind: "token-tis", cap: 2 }, [[-1, -1]])).toBe("shape_mismatch");
  });
});

describe("mismatch", () => {
  it("FEATURE 25: is 0 where both policies are the same, with all samples left", () => {
    const rows = [[-0.5, -1], [-2]];
    expect(mismatch(rows, rows)).toEqual({ k1: 0, k3: 0, maxAbs: 0, ess: 1, pearson: 1 });
  });

  it("is that of the oracle", () => {
    fc.assert(
      fc.property(pairs, ([trainer, rollout]) => {
        fc.pre(trainer.flat().length > 0);
        const ours = mismatch(trainer, rollout);
        const mask = trainer.map((row) => row.map(() => 1));
        const { k1, k3, lostShare } = oracleMismatch(trainer, rollout, mask);
        expectClose([ours.k1, ours.k3, ours.ess], [k1, k3, 1 - lostShare], CLOSE);
        expect(ours.k3).toBeGreaterThanOrEqual(0);
        const apart = trainer.flatMap((row, i) =>
          row.map((x, t) => Math.abs(x - Number(rollout[i]?.[t]))),
        );
        expect(ours.maxAbs).toBe(Math.max(...apart));
      }),
    );
  });

  it("FEATURE 24: correlates probabilities, not their logs", () => {
    // p = (0.1, 0.2, 0.6) and q = (0.2, 0.2, 0.5): Σ dp·dq / √(Σ dp²·Σ dq²) about means of 0.3.
    const [p, q] = [
      [0.1, 0.2, 0.6],
      [0.2, 0.2, 0.5],
    ] as const;
    const expected = 0.09 / Math.sqrt(0.14 * 0.06);
    const { pearson } = mismatch([p.map(Math.log)], [q.map(Math.log)]);
    expectClose([pearson], [expected], CLOSE);
  });

  it("has no correlation where one side does not vary, or nothing was sampled", () => {
    expect(mismatch([[-1, -1]], [[-1, -2]]).pearson).toBeNaN();
    expect(mismatch([], [])).toEqual({ k1: 0, k3: 0, maxAbs: 0, ess: 1, pearson: Number.NaN });
  });

  it("stays a number where the policies have nothing in common", () => {
    const { k3, ess } = mismatch([[-1, -1]], [[-900, -1]]);
    expect(Number.isFinite(k3)).toBe(true);
    expectClose([ess], [0.5], { abs: 1e-6, rel: 0 });
  });

  it("is logged with k3 as its KL", () => {
    expect(mismatchMetrics({ k1: 1, k3: 2, maxAbs: 3, ess: 4, pearson: 5 })).toEqual({
      ...{ "mismatch/k1": 1, "mismatch/kl": 2, "mismatch/max_abs": 3 },
      ...{ "mismatch/ess": 4, "mismatch/pearson": 5 },
    });
  });
});
