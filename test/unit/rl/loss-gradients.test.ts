/** Gradients of the oracles of losses, against central differences. */
import { describe, expect, it } from "vitest";
import { tokenWeights } from "../../reference/rl-corrections.ts";
import { type KlKind, kl, klTerm, unbiasedK3 } from "../../reference/rl-kl.ts";
import {
  type Aggregation,
  type Loss,
  type PolicyBatch,
  type Term,
  type Token,
  tokenLoss,
  totalsOf,
} from "../../reference/rl-losses.ts";
import { gmpo, gspo, sequenceRatio } from "../../reference/rl-sequence-losses.ts";
import { cispo, dppo, ppo, primeRl, reinforce, sapo } from "../../reference/rl-token-losses.ts";
import { entropyBonus, valueLoss } from "../../reference/rl-value-loss.ts";
import { expectClose } from "../../support/gpu.ts";
import {
  BATCH,
  drawRows,
  flatRows,
  LOGP,
  MASK,
  MODES,
  OLD,
  ROLLOUT,
} from "../../support/policy-batch.ts";

/** Differences of step 1e-6 of values of order 1: an error of h² from curvature and 1e-16/h from rounding. */
const DIFFERENCES = { abs: 1e-8, rel: 1e-7 };

const CLIP = { low: 0.2, high: 0.28 };
const TOKEN_MEAN: Aggregation = { mode: "token-mean" };

/** One advantage per sequence, no importance weights. */
const OUTCOMES: PolicyBatch = {
  ...{ logp: LOGP, old: OLD, mask: MASK },
  advantages: MASK.map((row, i) => row.map(() => [1, -1, -0.5, 2][i] ?? 0)),
};

const TERMS: Readonly<Record<string, (token: Token) => Term>> = {
  ppo: ppo(CLIP),
  "ppo, dual clip": ppo({ ...CLIP, dual: 1.5 }),
  "ppo, delta": ppo({ ...CLIP, delta: 1.4 }),
  cispo: cispo({ ratioCap: 1.3 }),
  "cispo, floor": cispo({ ratioCap: 1.2, floor: 0.8 }),
  "cispo, unified mask": cispo({ ratioCap: 5, trust: CLIP }),
  sapo: sapo({ positive: 1, negative: 1.05 }),
  reinforce,
  dppo: dppo(0.05, 20),
  "prime-rl": primeRl(0.05, 1e-3),
  "kl k1": klTerm("k1"),
  "kl k2": klTerm("k2"),
  "kl k3": klTerm("k3"),
  "kl abs": klTerm("abs"),
};

const SEQUENCES: Readonly<Record<string, (batch: PolicyBatch) => Loss>> = {
  gspo: (batch) => gspo(CLIP, batch, { mode: "seq-mean-token-mean" }),
  "gspo, token mean": (batch) => gspo(CLIP, batch, TOKEN_MEAN),
  gmpo: (batch) => gmpo(0.3, batch),
  "sequence ratio": (batch) => sequenceRatio(CLIP, batch),
};

/** Central differences of `loss` at every number of `x`. */
function differences(loss: (x: Float64Array[]) => number, x: readonly Float64Array[]): number[] {
  const h = 1e-6;
  const moved = (i: number, t: number, by: number): Float64Array[] =>
    x.map((row, j) => row.map((v, u) => (i === j && t === u ? v + by : v)));
  return x.flatMap((row, i) =>
    Array.from(row, (_, t) => (loss(moved(i, t, h)) - loss(moved(i, t, -h))) / (2 * h)),
  );
}

function check(lossOf: (x: Float64Array[]) => Loss, x: readonly Float64Array[]): void {
  const gradient = flatRows(lossOf([...x]).gradient);
  expect(gradient.some((g) => Math.abs(g) > 1e-3)).toBe(true);
  expectClose(
    gradient,
    differences((moved) => lossOf(moved).value, x),
    DIFFERENCES,
  );
}

describe("gradients to log-probabilities", () => {
  it.each(Object.entries(TERMS))("%s", (_name, term) => {
    for (const aggregation of MODES) {
      check((logp) => tokenLoss(term, { ...BATCH, logp }, aggregation), LOGP);
    }
  });

  it.each(Object.entries(SEQUENCES))("%s", (_name, loss) => {
    check((logp) => loss({ ...BATCH, logp }), LOGP);
    check((logp) => loss({ ...OUTCOMES, logp }), LOGP);
  });

  it("decoupled PPO, where rejected tokens stay in the denominator", () => {
    const weights = tokenWeights(OLD, ROLLOUT, MASK);
    const importance = weights.map((row) => row.map((w) => (w <= 1.1 ? w : 0)));
    check((logp) => tokenLoss(ppo(CLIP), { ...BATCH, importance, logp }, TOKEN_MEAN), LOGP);
    const one = (): Term => ({ loss: 1, slope: 0 });
    const { value } = tokenLoss(one, { ...BATCH, importance }, TOKEN_MEAN);
    const sum = flatRows(importance).reduce((total, w) => total + w, 0);
    expect(value).toBeCloseTo(sum / totalsOf(MASK).tokens, 12);
    expect(flatRows(importance).filter((w) => w > 0).length).toBeLessThan(totalsOf(MASK).tokens);
  });

  it("r·k3, through both factors", () => {
    for (const [logp, old, reference] of [
      [-1, -1.2, -0.7],
      [-0.3, -0.3, -2],
    ] as const) {
      const slopes = differences(
        ([row]) => unbiasedK3(Number(row?.[0]), old, reference).loss,
        [Float64Array.of(logp)],
      );
      expectClose([unbiasedK3(logp, old, reference).slope], slopes, DIFFERENCES);
    }
  });

  it.each(["k1", "k3", "abs"] as const)("%s+ has its own value and the gradient of k2", (kind) => {
    for (const x of [-1.5, -0.1, 0, 0.7]) {
      const straightThrough = kl(x, `${kind}+` satisfies KlKind);
      expect(straightThrough).toEqual({ loss: kl(x, kind).loss, slope: kl(x, "k2").slope });
    }
  });

  it("are 0 beyond the limits of log-ratios, and finite", () => {
    const token = { logp: -1, frozen: -1, old: -1000, advantage: -1 };
    const { loss, slope } = ppo(CLIP)(token);
    expect([loss, Math.abs(slope)]).toEqual([Math.exp(20), 0]);
    const far = { logp: [[-1]], old: [[-1000]], mask: [[1]], advantages: [[-1]] };
    const { value, gradient } = gspo(CLIP, far, TOKEN_MEAN);
    expect([value, Math.abs(Number(gradient[0]?.[0]))]).toEqual([Math.exp(10), 0]);
  });
});

describe("gradients of the rest", () => {
  it.each([Number.POSITIVE_INFINITY, 0.2])("value loss, clipped at %s", (bound) => {
    const [before, returns] = [drawRows(-1, 1), drawRows(-1, 1)];
    for (const aggregation of MODES) {
      check(
        (values) => valueLoss({ values, old: before, returns, mask: MASK }, aggregation, bound),
        drawRows(-1, 1),
      );
    }
  });

  it("entropy bonus, to the logits", () => {
    check((logits) => entropyBonus(logits, [0.5, 1, 0, 2], 0.5), drawRows(-2, 2));
    const { value } = entropyBonus([[3, 3, 3, 3]], [1], 0.01);
    expect(value).toBeCloseTo(-0.01 * Math.log(4), 14);
  });
});
