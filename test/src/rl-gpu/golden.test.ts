/** Golden values of losses and of their gradients, from the kernel. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Device,
  type KlKind,
  type PolicyLossForm,
  type PolicyLossOptions,
  tensor,
} from "../../../engine/index.ts";
import { gaeAdvantage } from "../../../src/rl/advantage/gae.ts";
import { grpoAdvantage } from "../../../src/rl/advantage/grpo.ts";
import { rlooAdvantage } from "../../../src/rl/advantage/rloo.ts";
import { importanceWeights } from "../../../src/rl/importance/index.ts";
import { valueLoss } from "../../../src/rl/loss/value-loss.ts";
import { type Aggregation, coefficients, type Rows } from "../../reference/rl-losses.ts";
import { evaluate } from "../../support/evaluate.ts";
import {
  flat,
  GOLDEN_RL,
  GOLDEN_RL_ABSENT,
  type GoldenInputs,
  goldenBatch,
} from "../../support/golden-rl.ts";
import { device, expectClose } from "../../support/gpu.ts";
import { type LossRun, packed, packLoss, runPolicyLoss } from "../../support/policy-loss.ts";

let gpu: Device;
beforeAll(async () => {
  gpu = await device();
});

/** Issue 4, §4. */
const GOLDEN = { abs: 1e-5, rel: 0 };

const TOKEN_MEAN: Aggregation = { mode: "token-mean" };
/** verl adds 1e-8 to a sequence's length. */
const SEQUENCE_MEAN: Aggregation = { mode: "seq-mean-token-mean", epsilon: 1e-8 };

const PLAIN: PolicyLossForm = { form: "clip", low: 0.2, high: 0.2 };
const DUAL: PolicyLossForm = { form: "clip", low: 0.2, high: 0.2, dual: 3 };
const SAPO: PolicyLossForm = { form: "sapo", tauPositive: 1, tauNegative: 1.05 };
const GSPO: PolicyLossForm = { form: "sequence-clip", low: 0.2, high: 0.2 };
const VERL_CISPO: PolicyLossForm = { form: "cispo", ratioCap: 1.2, floor: 0.8 };

/** A golden loss: what of the inputs goes into the kernel. */
interface Case {
  readonly policy: PolicyLossForm;
  readonly aggregation?: Aggregation;
  readonly kl?: KlKind;
  /** Which column is logπ_old. Default logp_old. */
  readonly old?: "logp_rollout";
  readonly advantages?: typeof rlooAdvantage;
  readonly importance?: (inputs: GoldenInputs) => Rows;
}

const LOSSES: Readonly<Record<string, Case>> = {
  "loss.vanilla(0.2/0.2,c=3).token-mean": { policy: DUAL },
  "loss.vanilla(0.2/0.2,c=3).seq-mean-token-sum": {
    policy: DUAL,
    aggregation: { mode: "seq-mean-token-sum" },
  },
  "loss.vanilla(0.2/0.2,c=3).seq-mean-token-mean": { policy: DUAL, aggregation: SEQUENCE_MEAN },
  "loss.vanilla(0.2/0.2,c=3).seq-mean-token-sum-norm": {
    policy: DUAL,
    aggregation: { mode: "seq-mean-token-sum-norm", horizon: 4 },
  },
  "loss.vanilla(0.2/0.28,c=3).token-mean": { policy: { ...DUAL, high: 0.28 } },
  "loss.vanilla(0.2/0.2,no dual).token-mean": { policy: PLAIN },
  "loss.gspo(3e-4/4e-4).seq-mean-token-mean": {
    policy: { form: "sequence-clip", low: 3e-4, high: 4e-4 },
    aggregation: SEQUENCE_MEAN,
  },
  "loss.gspo(0.2/0.2).seq-mean-token-mean": { policy: GSPO, aggregation: SEQUENCE_MEAN },
  "loss.cispo.verl(clamp .8..1.2).token-mean": { policy: VERL_CISPO },
  "loss.cispo.trl(max=eps_high=5, absolute).token-mean": {
    policy: { form: "cispo", ratioCap: 5 },
  },
  "loss.cispo.trl(max=eps_high=0.2 default!, absolute).token-mean": {
    policy: { form: "cispo", ratioCap: 0.2 },
  },
  "loss.sapo(1.0/1.05).seq-mean-token-mean": { policy: SAPO, aggregation: SEQUENCE_MEAN },
  "loss.gmpo(geo_mean,0.2).mean": {
    policy: { form: "geometric-mean", bound: 0.2, epsilon: 1e-8 },
    aggregation: { mode: "seq-mean-token-mean" },
  },
  "loss.dppo_tv(0.2,c=20).token-mean": { policy: { form: "dppo", distance: 0.2, ratioCap: 20 } },
  "loss.gpg(-logp*A).token-mean": { policy: { form: "reinforce" } },
  "loss.prime_rl.default(0.2/0.2,kl_tau=1e-3).token-mean": {
    policy: { form: "prime-rl", distance: 0.2, klTau: 1e-3 },
    old: "logp_rollout",
  },
  "loss.trl_rloo(0.2).mean": {
    policy: { form: "sequence-sum-clip", low: 0.2, high: 0.2 },
    aggregation: { mode: "seq-mean-token-mean" },
    advantages: rlooAdvantage,
  },
  "loss.vanilla+tokenTIS(2).token-mean": {
    policy: DUAL,
    importance: ({ logp_old, logp_rollout }) =>
      importanceWeights({ kind: "token-tis", cap: 2 }, logp_old, logp_rollout),
  },
  "loss.decoupled_ppo(0.2,behav cap 5 mask).token-mean": {
    policy: PLAIN,
    importance: ({ logp_old, logp_rollout }) =>
      importanceWeights({ kind: "behaviour-cap", cap: 5 }, logp_old, logp_rollout),
  },
};

const KL: Readonly<Record<string, KlKind>> = {
  "kl.k1.mean": "k1",
  "kl.k2.mean": "k2",
  "kl.k3.mean": "k3",
};

const GRADIENTS: Readonly<Record<string, Case>> = {
  "grad.vanilla(0.2/0.2,c=3).token-mean": { policy: DUAL },
  "grad.gspo(0.2/0.2).seq-mean-token-mean": { policy: GSPO, aggregation: SEQUENCE_MEAN },
  "grad.cispo.verl(clamp .8..1.2).token-mean": { policy: VERL_CISPO },
  "grad.sapo(1.0/1.05).seq-mean-token-mean": { policy: SAPO, aggregation: SEQUENCE_MEAN },
  "grad.kl.k3.token-mean": { policy: { form: "reinforce" }, kl: "k3" },
};

const inputs = GOLDEN_RL?.inputs as GoldenInputs;

function expected(name: string): number[] {
  return flat(GOLDEN_RL?.expected[name] ?? []);
}

function run(of: Case): Promise<LossRun> {
  const { policy, aggregation = TOKEN_MEAN, kl, advantages = grpoAdvantage } = of;
  const batch = goldenBatch(inputs, advantages(inputs.reward, inputs.group));
  const importance = of.importance?.(inputs);
  const input = packLoss(
    { ...batch, ...(of.old && { old: inputs[of.old] }), ...(importance && { importance }) },
    { weights: coefficients(inputs.mask, aggregation), reference: inputs.logp_ref },
  );
  const options: PolicyLossOptions = { policy, ...(kl && { kl: { kind: kl, coefficient: 1 } }) };
  return runPolicyLoss(gpu, input, options);
}

describe.skipIf(!GOLDEN_RL)(`golden values on the GPU${GOLDEN_RL_ABSENT}`, () => {
  it.each(Object.keys(LOSSES))("%s", async (name) => {
    const { loss } = await run(LOSSES[name] as Case);
    expectClose([loss], expected(name), GOLDEN, name);
  });

  it.each(Object.keys(KL))("%s", async (name) => {
    const { kl } = await run({ policy: PLAIN, kl: KL[name] as KlKind });
    expectClose([kl], expected(name), GOLDEN, name);
  });

  it.each(Object.keys(GRADIENTS))("%s", async (name) => {
    const of = GRADIENTS[name] as Case;
    const { gradient } = await run(of);
    // the divergence alone: both, less the policy's share
    const policy = of.kl ? (await run({ policy: of.policy })).gradient : gradient.map(() => 0);
    const slopes = gradient.map((slope, t) => slope - Number(policy[t]));
    expectClose(slopes, expected(name), GOLDEN, name);
  });

  it("value.loss(clip .5).token-mean", async () => {
    const { token_reward: rewards, values_old: before, values_new: after, mask } = inputs;
    const { returns } = gaeAdvantage({ rewards, values: before, mask });
    const row = (rows: Rows) => tensor(Float32Array.from(packed(rows)));
    const { values } = await evaluate(gpu, () => ({
      loss: valueLoss({
        ...{ values: row(after), old: row(before), returns: row(returns) },
        ...{ weight: row(coefficients(mask, TOKEN_MEAN)), clip: 0.5 },
      }),
    }));
    const name = "value.loss(clip .5).token-mean";
    expectClose(values.loss, expected(name), GOLDEN, name);
  });

  it("are all covered", () => {
    const covered = [...Object.keys({ ...LOSSES, ...KL, ...GRADIENTS }), "value.loss"];
    const all = Object.keys(GOLDEN_RL?.expected ?? {}).filter((name) =>
      /^(loss|kl|grad|value)\./.test(name),
    );
    const names = all.map((name) => (name.startsWith("value.loss") ? "value.loss" : name));
    expect(covered.sort()).toEqual(names.sort());
  });
});
