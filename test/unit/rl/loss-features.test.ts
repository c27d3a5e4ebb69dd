/** What the losses promise, by the numbers of research's feature list, in the oracles that kernels are compared with. */
import { describe, expect, it } from "vitest";
import {
  loglinearProximal,
  mismatch,
  normalizedWeights,
  sequenceMaskedTokens,
  sequenceWeights,
  tokenWeights,
  truncated,
} from "../../reference/rl-corrections.ts";
import {
  type Aggregation,
  at,
  coefficients,
  type Loss,
  lengthOf,
  type PolicyBatch,
  type Rows,
  type Token,
  tokenLoss,
  totalsOf,
} from "../../reference/rl-losses.ts";
import { gspo } from "../../reference/rl-sequence-losses.ts";
import { cispo, ppo } from "../../reference/rl-token-losses.ts";
import { expectClose } from "../../support/gpu.ts";
import { BATCH, flatRows, MASK, MODES, OLD, ROLLOUT } from "../../support/policy-batch.ts";

const CLOSE = { abs: 1e-12, rel: 1e-12 };
const CLIP = { low: 0.2, high: 0.28 };
const CAP = 5;

/** A token with ratio r and log-probability −1. */
function tokenWith(r: number, advantage: number): Token {
  return { logp: -1, frozen: -1, old: -1 - Math.log(r), advantage };
}

describe("FEATURE 20: CISPO caps the weight and drops no token", () => {
  it.each([1, -1])(
    "its gradient is min(r, cap)·A·∇logπ for A = %s, PPO's is 0 where it clips",
    (a) => {
      for (const r of [0.1, 1, CAP, 10 * CAP]) {
        const token = tokenWith(r, a);
        expectClose([cispo({ ratioCap: CAP })(token).slope], [-Math.min(r, CAP) * a], CLOSE);
        const isClipped = a > 0 ? r > 1 + CLIP.high : r < 1 - CLIP.low;
        expectClose([ppo(CLIP)(token).slope], [isClipped ? 0 : -r * a], CLOSE);
      }
    },
  );

  it("PPO's dual clip ends its unbounded case, A < 0 and r far above 1", () => {
    expect(ppo({ ...CLIP, dual: 3 })(tokenWith(50, -1))).toEqual({ loss: 3, slope: 0 });
  });
});

describe("FEATURE 21: the cap is absolute", () => {
  it("5 means 5, not 1 + 5", () => {
    const slopes = [4.5, 5.5].map((r) => cispo({ ratioCap: 5 })(tokenWith(r, 1)).slope);
    expectClose(slopes, [-4.5, -5], CLOSE);
  });
});

describe("FEATURE 22: means over sampled tokens", () => {
  const partsOf = (size: number): PolicyBatch[] => {
    const parts: PolicyBatch[] = [];
    for (let start = 0; start < MASK.length; start += size) {
      const cut = (rows: Rows): Rows => rows.slice(start, start + size);
      parts.push({
        ...{ logp: cut(BATCH.logp), old: cut(OLD), mask: cut(MASK) },
        ...{ advantages: cut(BATCH.advantages), importance: cut(BATCH.importance) },
      });
    }
    return parts;
  };

  const LOSSES: readonly ((batch: PolicyBatch, aggregation: Aggregation) => Loss)[] = [
    (batch, aggregation) => tokenLoss(ppo(CLIP), batch, aggregation),
    (batch, aggregation) => gspo(CLIP, batch, aggregation),
  ];

  it.each(MODES)("$mode does not depend on the split into micro-batches", (aggregation) => {
    const totals = totalsOf(MASK);
    for (const loss of LOSSES) {
      const whole = loss(BATCH, aggregation);
      for (const size of [1, 2, 3]) {
        const pieces = partsOf(size).map((part) => loss(part, { ...aggregation, totals }));
        expectClose([pieces.reduce((sum, { value }) => sum + value, 0)], [whole.value], CLOSE);
        const gradient = pieces.flatMap((piece) => piece.gradient);
        expectClose(flatRows(gradient), flatRows(whole.gradient), CLOSE);
      }
    }
  });

  it("the mean over tokens does not depend on packing", () => {
    const packed = (rows: Rows): Rows => [flatRows(rows)];
    const batch = {
      ...{ logp: packed(BATCH.logp), old: packed(OLD), mask: packed(MASK) },
      ...{ advantages: packed(BATCH.advantages), importance: packed(BATCH.importance) },
    };
    const [one, many] = [batch, BATCH].map((b) => tokenLoss(ppo(CLIP), b, { mode: "token-mean" }));
    expectClose([Number(one?.value)], [Number(many?.value)], CLOSE);
    expectClose(flatRows(one?.gradient ?? []), flatRows(many?.gradient ?? []), CLOSE);
  });

  it("have weights by the mode, and pass by sequences without a sampled token", () => {
    expect(MASK.map(lengthOf)).toEqual([3, 1, 5, 0]);
    const first = MODES.map((aggregation) => at(coefficients(MASK, aggregation), 2, 0));
    expectClose(first, [1 / 9, 1 / 3 / 5, 1 / 3, 1 / 3 / 7], CLOSE);
  });
});

describe("FEATURE 23: the unified mask", () => {
  it("zeroes exactly the two cases in which PPO has no gradient", () => {
    for (const a of [1, -1]) {
      for (const r of [0.1, 0.79, 0.81, 1, 1.27, 1.29, 40]) {
        const { slope } = cispo({ ratioCap: CAP, trust: CLIP })(tokenWith(r, a));
        expect(slope === 0).toBe(ppo(CLIP)(tokenWith(r, a)).slope === 0);
      }
    }
  });
});

describe("FEATURE 25: mismatch", () => {
  it("is 0 and all weights are 1 where sampler and trainer agree", () => {
    expect(mismatch(OLD, OLD, MASK)).toEqual({ k1: 0, k3: 0, lostShare: 0 });
    expect(tokenWeights(OLD, OLD, MASK)).toEqual(MASK);
    expect([...sequenceWeights(OLD, OLD, MASK, "sum")]).toEqual([1, 1, 1, 1]);
  });

  it("is above 0 and loses samples where they do not", () => {
    const { k3, lostShare } = mismatch(OLD, ROLLOUT, MASK);
    expect(k3).toBeGreaterThan(0);
    expect(lostShare).toBeGreaterThan(0);
    expect(lostShare).toBeLessThan(1);
  });

  it("weights are scaled to a mean of 1", () => {
    const weights = normalizedWeights(tokenWeights(OLD, ROLLOUT, MASK), MASK);
    const sum = flatRows(weights).reduce((total, w) => total + w, 0);
    expectClose([sum], [totalsOf(MASK).tokens], CLOSE);
  });

  it("weights are dropped with their sequence, and capped within it", () => {
    const input = { old: OLD, rollout: ROLLOUT, mask: MASK };
    const means = sequenceWeights(OLD, ROLLOUT, MASK, "mean");
    const highest = Math.max(...means);
    const kept = sequenceMaskedTokens(input, { low: 0, high: highest - 1e-9, cap: 1.05 });
    for (const [i, row] of tokenWeights(OLD, ROLLOUT, MASK).entries()) {
      const expected = means[i] === highest ? row.map(() => 0) : truncated(row, 1.05);
      expect(kept[i]).toEqual(expected);
    }
  });

  it("the proximal policy lies between the others by the age of its weights", () => {
    const proximal = [3, 4, 7].map((version) =>
      loglinearProximal(-2, -1, { behaviour: 3, proximal: version, current: 7 }),
    );
    expectClose(proximal, [-2, -1.75, -1], CLOSE);
    const same = { behaviour: 3, proximal: 3, current: 3 };
    expect(loglinearProximal(-2, -1, same)).toBe(-2);
  });
});
