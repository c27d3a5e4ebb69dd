import { beforeAll, describe, expect, it } from "vitest";
import {
  clamp,
  type Device,
  exp,
  mul,
  neg,
  POLICY_LOSS_ROWS,
  stopGradient,
  sub,
  sum,
  tensor,
} from "../../../engine/index.ts";
import { type ImportanceCorrection, importanceWeights } from "../../../src/rl/importance/index.ts";
import {
  type PolicyLossFunction,
  type PolicyObjectiveOptions,
  policyObjective,
} from "../../../src/rl/loss/policy-loss.ts";
import { valueLoss } from "../../../src/rl/loss/value-loss.ts";
import { type Aggregation, coefficients, type Rows } from "../../reference/rl-losses.ts";
import { valueLoss as expectedValueLoss } from "../../reference/rl-value-loss.ts";
import { codeOf } from "../../support/errors.ts";
import { evaluate, gradients } from "../../support/evaluate.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { BATCH, drawRows, MASK, MODES, OLD } from "../../support/policy-batch.ts";
import {
  expectedKl,
  expectedPolicyLoss,
  type PackedLoss,
  packAggregated,
  packed,
} from "../../support/policy-loss.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

const CLOSE = { abs: 1e-6, rel: 1e-5 };
const TOKEN_MEAN: Aggregation = { mode: "token-mean" };
const REFERENCE = drawRows(-2, -0.5);
const ENTROPIES = drawRows(0, 3);
const CISPO = { form: "cispo", ratioCap: 1.3 } as const;

/** CISPO as its formula is written. */
const ownCispo: PolicyLossFunction = ({ logprobs, old, advantage, weight, importance }) => {
  const ratio = stopGradient(clamp(exp(sub(logprobs, old)), 0, 1.3));
  return neg(sum(mul(mul(mul(ratio, advantage), logprobs), mul(weight, importance))));
};

function finite(input: PackedLoss): PackedLoss {
  const filled = (x: Float32Array<ArrayBuffer>) => x.map((v) => (Number.isNaN(v) ? 0 : v));
  return { ...input, logprobs: filled(input.logprobs), rows: filled(input.rows) };
}

const INPUT = finite(packAggregated(BATCH, TOKEN_MEAN, { reference: REFERENCE }));

async function objective(options: PolicyObjectiveOptions, { logprobs, rows, offsets } = INPUT) {
  const { values } = await evaluate(gpu, () => {
    const x = tensor(logprobs);
    const hidden = tensor(
      Float32Array.from(packed(ENTROPIES), (e, t) => (packed(MASK)[t] ? e : Number.NaN)),
    );
    const result = policyObjective(options, {
      ...{ logprobs: x, entropies: hidden, offsets: tensor(offsets) },
      rows: tensor(rows, [POLICY_LOSS_ROWS.length, x.size]),
    });
    const [dlogprobs, dentropies] = gradients([[result.loss, Float32Array.of(1)]], [x, hidden]);
    return { ...result, dlogprobs, dentropies };
  });
  return values;
}

describe("policyObjective", () => {
  const kl = { kind: "k3", coefficient: 0.1 } as const;

  it("adds divergence and entropy bonus to a form's loss", async () => {
    const all = await objective({ loss: CISPO, kl, entropyCoefficient: 0.01 });
    const weights = coefficients(MASK, TOKEN_MEAN);
    const policy = expectedPolicyLoss(BATCH, TOKEN_MEAN, CISPO);
    const divergence = expectedKl(BATCH, REFERENCE, TOKEN_MEAN, "k3");
    const bonus = packed(ENTROPIES).reduce(
      (total, e, t) => total + 0.01 * e * Number(packed(weights)[t]),
      0,
    );
    const loss = policy.value + 0.1 * divergence.value - bonus;
    expectClose(all.policy, [policy.value], CLOSE, "policy");
    expectClose(all.kl, [divergence.value], CLOSE, "kl");
    expectClose(all.loss, [loss], CLOSE, "loss");
    const [p, d] = [packed(policy.gradient), packed(divergence.gradient)];
    const slopes = p.map((slope, t) => slope + 0.1 * Number(d[t]));
    expectClose(all.dlogprobs, slopes, CLOSE, "dlogprobs");
    expectClose(
      all.dentropies,
      packed(weights).map((w) => -0.01 * w),
      CLOSE,
      "dentropies",
    );
  });

  it.each([{}, { kl }, { kl, entropyCoefficient: 0.01 }])(
    "gives CISPO written as a function what it gives the kernel, %j",
    async (rest) => {
      const [own, fused] = [
        await objective({ loss: ownCispo, ...rest }),
        await objective({ loss: CISPO, ...rest }),
      ];
      for (const name of ["loss", "policy", "kl", "dlogprobs", "dentropies"] as const) {
        expectClose(own[name], fused[name], CLOSE, name);
      }
      expect(fused.dlogprobs.some((slope) => slope !== 0)).toBe(true);
    },
  );

  it("hands a function all that it may need", async () => {
    const seen: string[] = [];
    await objective({
      loss: (input) => {
        seen.push(...Object.keys(input));
        expect(input.weight.shape).toEqual(input.logprobs.shape);
        return sum(mul(input.entropies, 0));
      },
    });
    const names = [...POLICY_LOSS_ROWS, "logprobs", "offsets", "entropies"];
    expect(seen.sort()).toEqual(names.sort());
  });

  it("FEATURE 25: with rollout = old every correction's weights are 1 and change no bit", async () => {
    const corrections: readonly ImportanceCorrection[] = [
      { kind: "token-tis", cap: 2 },
      { kind: "sequence-tis", cap: 2, normalize: true },
      { kind: "icepop", low: 0.5, high: 2 },
      { kind: "sequence-mask", high: 3, of: "sum" },
      { kind: "sequence-masked-tis", low: 0.99, high: 1.01, cap: 2 },
      { kind: "behaviour-cap", cap: 5 },
    ];
    const { importance: _, ...plain } = BATCH;
    const base = await objective({ loss: CISPO }, packAggregated(plain, TOKEN_MEAN));
    for (const correction of corrections) {
      const importance = importanceWeights(correction, OLD, OLD);
      expect(
        packed(importance).every((w) => w === 1),
        correction.kind,
      ).toBe(true);
      const input = packAggregated({ ...plain, importance }, TOKEN_MEAN);
      expect(await objective({ loss: CISPO }, input), correction.kind).toEqual(base);
    }
  });
});

describe("valueLoss", () => {
  const [VALUES, BEFORE, RETURNS] = [drawRows(-1, 1), drawRows(-1, 1), drawRows(-1, 1)] as const;

  it.each([undefined, 0.2, 0])(
    "agrees with f64, with its gradient, clipped at %s",
    async (clip) => {
      for (const aggregation of MODES) {
        const weights = coefficients(MASK, aggregation);
        const row = (rows: Rows) =>
          tensor(Float32Array.from(packed(rows), (x, t) => (packed(MASK)[t] ? x : Number.NaN)));
        const { values } = await evaluate(gpu, () => {
          const v = row(VALUES);
          const loss = valueLoss({
            ...{ values: v, old: row(BEFORE), returns: row(RETURNS) },
            weight: tensor(Float32Array.from(packed(weights))),
            ...(clip !== undefined && { clip }),
          });
          return { loss, dvalues: gradients([[loss, Float32Array.of(1)]], [v])[0] };
        });
        const batch = { values: VALUES, old: BEFORE, returns: RETURNS, mask: MASK };
        const { value, gradient } = expectedValueLoss(batch, aggregation, clip);
        expectClose(values.loss, [value], CLOSE, `${aggregation.mode}, loss`);
        expectClose(values.dvalues, packed(gradient), CLOSE, `${aggregation.mode}, gradient`);
      }
    },
  );

  it("refuses a bound below 0", () => {
    const x = tensor([1]);
    const rows = { values: x, old: x, returns: x, weight: x };
    expect(codeOf(() => valueLoss({ ...rows, clip: -1 }))).toBe("argument_invalid");
  });
});
