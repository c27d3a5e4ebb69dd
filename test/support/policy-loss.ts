/** Policy losses of rows of tokens: by the engine's kernel, and by the oracles. */
import {
  type Device,
  type PolicyLossForm,
  type PolicyLossOptions,
  policyLoss,
  tensor,
} from "../../engine/index.ts";
import { klTerm, unbiasedK3 } from "../reference/rl-kl.ts";
import {
  type Aggregation,
  at,
  coefficients,
  type Loss,
  type PolicyBatch,
  type Rows,
  type Term,
  type Token,
  tokenLoss,
} from "../reference/rl-losses.ts";
import { gmpo, gspo, sequenceRatio } from "../reference/rl-sequence-losses.ts";
import { cispo, dppo, ppo, primeRl, reinforce, sapo } from "../reference/rl-token-losses.ts";
import { evaluate, gradients, type KernelClass } from "./evaluate.ts";

/** What the kernel reads. */
export interface PackedLoss {
  readonly logprobs: Float32Array<ArrayBuffer>;
  /** [5, M]. */
  readonly rows: Float32Array<ArrayBuffer>;
  readonly offsets: Uint32Array<ArrayBuffer>;
}

/** What {@link runPolicyLoss} gives. */
export interface LossRun {
  readonly loss: number;
  readonly policy: number;
  readonly kl: number;
  /** Of the loss, to each log-probability [M]. */
  readonly gradient: Float32Array;
}

/** Where a batch lies among other tokens. */
interface Packing {
  readonly weights: Rows;
  readonly reference?: Rows | undefined;
  /** Tokens of no sequence before the first and behind the last one. Default 0. */
  readonly around?: number;
}

/** Sequences one behind the other; tokens without weight, and those around, are NaN in every other respect. */
export function packLoss(batch: PolicyBatch, packing: Packing): PackedLoss {
  const { weights, reference, around = 0 } = packing;
  const lengths = batch.mask.map((row) => row.length);
  const count = lengths.reduce((sum, length) => sum + length, 2 * around);
  const logprobs = new Float32Array(count).fill(Number.NaN);
  const rows = new Float32Array(5 * count).fill(Number.NaN);
  const offsets = Uint32Array.of(around, ...lengths);
  for (let i = 1; i < offsets.length; i++) offsets[i] = Number(offsets[i]) + Number(offsets[i - 1]);
  rows.fill(0, 2 * count, 3 * count);
  for (const [i, row] of weights.entries()) {
    for (const [t, weight] of Array.from(row).entries()) {
      if (weight === 0) continue;
      const to = Number(offsets[i]) + t;
      logprobs[to] = at(batch.logp, i, t);
      [
        at(batch.old, i, t),
        at(batch.advantages, i, t),
        weight,
        at(batch.importance, i, t, 1),
        at(reference, i, t, 0),
      ].forEach((x, k) => {
        rows[k * count + to] = x;
      });
    }
  }
  return { logprobs, rows, offsets };
}

/** The loss on the GPU. */
export async function runPolicyLoss(
  device: Device,
  { logprobs, rows, offsets }: PackedLoss,
  options: PolicyLossOptions,
  kernels?: KernelClass,
): Promise<LossRun> {
  const { values } = await evaluate(
    device,
    () => {
      const x = tensor(logprobs);
      const result = policyLoss(x, tensor(rows, [5, x.size]), tensor(offsets), options);
      const [gradient] = gradients([[result.loss, Float32Array.of(1)]], [x]);
      return { ...result, gradient };
    },
    kernels,
  );
  const [loss, policy, kl] = [values.loss, values.policy, values.kl].map(([x]) => Number(x));
  return { loss, policy, kl, gradient: values.gradient } as LossRun;
}

/** The loss by the oracles. */
export function expectedPolicyLoss(
  batch: PolicyBatch,
  aggregation: Aggregation,
  form: PolicyLossForm,
): Loss {
  switch (form.form) {
    case "sequence-clip":
      return gspo(form, batch, aggregation);
    case "sequence-sum-clip":
      return sequenceRatio(form, batch);
    case "geometric-mean":
      return gmpo(form.bound, batch, form.epsilon);
    default:
      return tokenLoss(tokenTerm(form), batch, aggregation);
  }
}

function tokenTerm(form: PolicyLossForm): (token: Token) => Term {
  switch (form.form) {
    case "clip":
      return ppo(form);
    case "cispo":
      return cispo(form);
    case "sapo":
      return sapo({ positive: form.tauPositive, negative: form.tauNegative });
    case "dppo":
      return dppo(form.distance, form.ratioCap);
    case "prime-rl":
      return primeRl(form.distance, form.klTau);
    default:
      return reinforce;
  }
}

/** Σ weight·kl by the oracles. */
export function expectedKl(
  batch: PolicyBatch,
  reference: Rows,
  aggregation: Aggregation,
  kind: NonNullable<PolicyLossOptions["kl"]>["kind"],
): Loss {
  const { logp, old, advantages, mask } = batch;
  if (kind === "unbiased-k3") {
    const term = (token: Token): Term => unbiasedK3(token.logp, token.old, token.frozen);
    return tokenLoss(term, { logp, old, advantages, mask, frozen: reference }, aggregation);
  }
  return tokenLoss(klTerm(kind), { logp, old: reference, advantages, mask }, aggregation);
}

/** Packed with the weights of an aggregation. */
export function packAggregated(
  batch: PolicyBatch,
  aggregation: Aggregation,
  rest: Omit<Packing, "weights"> = {},
): PackedLoss {
  return packLoss(batch, { ...rest, weights: coefficients(batch.mask, aggregation) });
}

/** Numbers of sequences laid out as {@link packLoss} lays tokens out; 0 around. */
export function packed(rows: Rows, around = 0): number[] {
  const edge = new Array<number>(around).fill(0);
  return [...edge, ...rows.flatMap((row) => Array.from(row)), ...edge];
}
