/** Every golden value, from the product where it has the function and from the oracle where it is a loss. */
import { describe, expect, it } from "vitest";
import { drGrpoAdvantage } from "../../../src/rl/advantage/dr-grpo.ts";
import { gaeAdvantage } from "../../../src/rl/advantage/gae.ts";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { maxrlAdvantage } from "../../../src/rl/advantage/maxrl.ts";
import { opoAdvantage } from "../../../src/rl/advantage/opo.ts";
import { reinforcePlusPlusAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus.ts";
import { reinforcePlusPlusBaselineAdvantage } from "../../../src/rl/advantage/reinforce-plus-plus-baseline.ts";
import { rlooAdvantage } from "../../../src/rl/advantage/rloo.ts";
import { overlongPenalty } from "../../../src/rl/reward/overlong.ts";
import {
  banded,
  sequenceWeights,
  tokenWeights,
  truncated,
} from "../../reference/rl-corrections.ts";
import { klTerm } from "../../reference/rl-kl.ts";
import {
  type Aggregation,
  lengthOf,
  maskedMean,
  type Term,
  type Token,
  tokenLoss,
  tokenOf,
} from "../../reference/rl-losses.ts";
import { gmpo, gspo, logRatios, sequenceRatio } from "../../reference/rl-sequence-losses.ts";
import {
  cispo,
  dppo,
  isClipped,
  ppo,
  primeRl,
  reinforce,
  sapo,
} from "../../reference/rl-token-losses.ts";
import { valueLoss } from "../../reference/rl-value-loss.ts";
import {
  flat,
  GOLDEN_RL,
  GOLDEN_RL_ABSENT,
  type GoldenInputs,
  type GoldenValue,
  goldenBatch,
} from "../../support/golden-rl.ts";
import { expectClose } from "../../support/gpu.ts";

/** verl adds this to a sequence's length and to the tokens of a metric, not to those of a token mean. */
const EPSILON = 1e-8;

const TOKEN_MEAN: Aggregation = { mode: "token-mean" };
const SEQUENCE_MEAN: Aggregation = { mode: "seq-mean-token-mean", epsilon: EPSILON };

const DUAL = { low: 0.2, high: 0.2, dual: 3 };
const PLAIN = { low: 0.2, high: 0.2 };
const SAPO = { positive: 1, negative: 1.05 };

function advantages(inputs: GoldenInputs): Record<string, GoldenValue> {
  const { reward, group, mask, token_reward: rewards, values_old: values } = inputs;
  const discounted = { gamma: 0.99, lambda: 0.95 };
  const gae = gaeAdvantage({ rewards, values, mask });
  const gaeDiscounted = gaeAdvantage({ rewards, values, mask }, discounted);
  const raw = (options: object) =>
    gaeAdvantage({ rewards, values, mask }, { ...options, whiten: false }).advantages;
  return {
    "adv.grpo.verl(eps1e-6,std ddof=1)": grpoAdvantage(reward, group),
    "adv.grpo.trl(eps1e-4,std ddof=1)": grpoAdvantage(reward, group, { epsilon: 1e-4 }),
    "adv.grpo.trl.scale=batch": grpoAdvantage(reward, group, { epsilon: 1e-4, scale: "batch" }),
    "adv.dr_grpo(no std)": drGrpoAdvantage(reward, group),
    "adv.rloo": rlooAdvantage(reward, group),
    "adv.maxrl(eps1e-6)": maxrlAdvantage(reward, group),
    "adv.opo": opoAdvantage(reward, group, mask.map(lengthOf)),
    "gae.raw(g=1.0,l=1.0)": raw({}),
    "gae.returns(g=1.0,l=1.0)": gae.returns,
    "gae.whitened(g=1.0,l=1.0)": gae.advantages,
    "gae.raw(g=0.99,l=0.95)": raw(discounted),
    "gae.returns(g=0.99,l=0.95)": gaeDiscounted.returns,
    "gae.whitened(g=0.99,l=0.95)": gaeDiscounted.advantages,
    "adv.reinforce++(g=0.99)": reinforcePlusPlusAdvantage(rewards, mask, 0.99),
    "adv.reinforce++baseline": reinforcePlusPlusBaselineAdvantage(reward, group, mask),
    ...Object.fromEntries(
      [10, 12, 14, 16].map((length) => [
        `dapo.overlong(Lmax=16,buf=4,pen=1,len=${length})`,
        overlongPenalty(length, { maxLength: 16, buffer: 4 }),
      ]),
    ),
  };
}

function losses(inputs: GoldenInputs): Record<string, GoldenValue> {
  const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
  const { mask } = batch;
  const value = (term: (token: Token) => Term, aggregation = TOKEN_MEAN) =>
    tokenLoss(term, batch, aggregation).value;
  const sampler = { ...batch, old: inputs.logp_rollout };
  const rloo = goldenBatch(inputs, rlooAdvantage(inputs.reward, inputs.group));
  return {
    "loss.vanilla(0.2/0.2,c=3).token-mean": value(ppo(DUAL)),
    "loss.vanilla(0.2/0.2,c=3).seq-mean-token-sum": value(ppo(DUAL), {
      mode: "seq-mean-token-sum",
    }),
    "loss.vanilla(0.2/0.2,c=3).seq-mean-token-mean": value(ppo(DUAL), SEQUENCE_MEAN),
    "loss.vanilla(0.2/0.2,c=3).seq-mean-token-sum-norm": value(ppo(DUAL), {
      mode: "seq-mean-token-sum-norm",
      horizon: 4,
    }),
    "loss.vanilla(0.2/0.28,c=3).token-mean": value(ppo({ ...DUAL, high: 0.28 })),
    "loss.vanilla(0.2/0.2,no dual).token-mean": value(ppo(PLAIN)),
    "metric.clipfrac(0.2)": maskedMean(mask, EPSILON, (i, t) =>
      Number(isClipped(tokenOf(batch, i, t), PLAIN)),
    ),
    "metric.ppo_kl(k1 mean)": maskedMean(mask, EPSILON, (i, t) => {
      const { logp, old } = tokenOf(batch, i, t);
      return old - logp;
    }),
    "gspo.seq_ratio": logRatios(batch).map((sum, i) =>
      Math.exp(sum / lengthOf(mask[i] as ArrayLike<number>)),
    ),
    "loss.gspo(3e-4/4e-4).seq-mean-token-mean": gspo(
      { low: 3e-4, high: 4e-4 },
      batch,
      SEQUENCE_MEAN,
    ).value,
    "loss.gspo(0.2/0.2).seq-mean-token-mean": gspo(PLAIN, batch, SEQUENCE_MEAN).value,
    "loss.cispo.verl(clamp .8..1.2).token-mean": value(cispo({ ratioCap: 1.2, floor: 0.8 })),
    "loss.cispo.trl(max=eps_high=5, absolute).token-mean": value(cispo({ ratioCap: 5 })),
    "loss.cispo.trl(max=eps_high=0.2 default!, absolute).token-mean": value(
      cispo({ ratioCap: 0.2 }),
    ),
    "loss.sapo(1.0/1.05).seq-mean-token-mean": value(sapo(SAPO), SEQUENCE_MEAN),
    "loss.gmpo(geo_mean,0.2).mean": gmpo(0.2, batch, EPSILON).value,
    "loss.dppo_tv(0.2,c=20).token-mean": value(dppo(0.2, 20)),
    "loss.gpg(-logp*A).token-mean": value(reinforce),
    "loss.prime_rl.default(0.2/0.2,kl_tau=1e-3).token-mean": tokenLoss(
      primeRl(0.2, 1e-3),
      sampler,
      TOKEN_MEAN,
    ).value,
    "loss.trl_rloo(0.2).mean": sequenceRatio(PLAIN, rloo).value,
    "value.loss(clip .5).token-mean": valueLoss(
      {
        values: inputs.values_new,
        old: inputs.values_old,
        returns: gaeAdvantage({
          rewards: inputs.token_reward,
          values: inputs.values_old,
          mask,
        }).returns,
        mask,
      },
      TOKEN_MEAN,
      0.5,
    ).value,
    ...Object.fromEntries(
      (["k1", "k2", "k3"] as const).map((kind) => [
        `kl.${kind}.mean`,
        maskedMean(mask, EPSILON, (i, t) => {
          const token = tokenOf({ ...batch, old: inputs.logp_ref }, i, t);
          return klTerm(kind)(token).loss;
        }),
      ]),
    ),
  };
}

function corrections(inputs: GoldenInputs): Record<string, GoldenValue> {
  const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
  const { logp_old: old, logp_rollout: rollout, mask } = inputs;
  const tokens = tokenWeights(old, rollout, mask);
  const capped = tokens.map((row) => truncated(row, 2));
  const sequences = sequenceWeights(old, rollout, mask, "sum");
  const behaviour = tokens.map((row) => banded(row, 0, 5));
  return {
    "is.token.raw": tokens,
    "is.token.TIS(C=2)": capped,
    "is.token.icepop(0.5,2)": tokens.map((row) => banded(row, 0.5, 2)),
    "is.seq.raw": sequences,
    "is.seq.TIS(C=2)": truncated(sequences, 2),
    "is.seq_mask.trl(max 3)": banded(sequences, 0, 3),
    "loss.vanilla+tokenTIS(2).token-mean": tokenLoss(
      ppo(DUAL),
      { ...batch, importance: capped },
      TOKEN_MEAN,
    ).value,
    "loss.decoupled_ppo(0.2,behav cap 5 mask).token-mean": tokenLoss(
      ppo(PLAIN),
      { ...batch, importance: behaviour },
      TOKEN_MEAN,
    ).value,
  };
}

/** Written with nine decimals, from central differences. */
function gradients(inputs: GoldenInputs): Record<string, GoldenValue> {
  const batch = goldenBatch(inputs, grpoAdvantage(inputs.reward, inputs.group));
  const token = (term: (token: Token) => Term, aggregation = TOKEN_MEAN) =>
    tokenLoss(term, batch, aggregation).gradient;
  return {
    "grad.vanilla(0.2/0.2,c=3).token-mean": token(ppo(DUAL)),
    "grad.gspo(0.2/0.2).seq-mean-token-mean": gspo(PLAIN, batch, SEQUENCE_MEAN).gradient,
    "grad.cispo.verl(clamp .8..1.2).token-mean": token(cispo({ ratioCap: 1.2, floor: 0.8 })),
    "grad.sapo(1.0/1.05).seq-mean-token-mean": token(sapo(SAPO), SEQUENCE_MEAN),
    "grad.kl.k3.token-mean": tokenLoss(klTerm("k3"), { ...batch, old: inputs.logp_ref }, TOKEN_MEAN)
      .gradient,
  };
}

const inputs = GOLDEN_RL?.inputs;
const expected = GOLDEN_RL?.expected ?? {};
const exact = inputs
  ? { ...advantages(inputs), ...losses(inputs), ...corrections(inputs) }
  : { "advantages and losses": 0 };
const differences = inputs ? gradients(inputs) : { gradients: 0 };

function compare(name: string, actual: Readonly<Record<string, GoldenValue>>, abs: number): void {
  const [ours, theirs] = [actual[name], expected[name]].map((value) => flat(value ?? []));
  expectClose(ours ?? [], theirs ?? [], { abs, rel: 0 }, name);
}

describe.skipIf(!inputs)(`golden values${GOLDEN_RL_ABSENT}`, () => {
  it.each(Object.keys(exact))("%s", (name) => compare(name, exact, 1e-12));

  it.each(Object.keys(differences))("%s, to its nine decimals", (name) => {
    compare(name, differences, 1e-9);
  });

  it("are all covered", () => {
    const covered = [...Object.keys(exact), ...Object.keys(differences)].sort();
    expect(covered).toEqual(Object.keys(expected).sort());
  });
});
