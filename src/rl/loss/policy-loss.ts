/** The loss of a policy: one of the engine's forms, or one's own, with a divergence and an entropy bonus. */
import {
  add,
  mul,
  notEqual,
  POLICY_LOSS_ROWS,
  type PolicyLossOptions,
  policyLoss,
  reshape,
  slice,
  sum,
  type Tensor,
  where,
} from "../../../engine/index.ts";
import type { PolicyLossForm } from "./forms.ts";

/** What a policy's loss reads. M sampled tokens of a batch, in S sequences that lie one behind the other. */
export interface PolicyLossInput {
  /** [M] logπ_θ: what is differentiated. */
  readonly logprobs: Tensor;
  /** [M] logπ_old. */
  readonly old: Tensor;
  /** [M] */
  readonly advantage: Tensor;
  /** [M] aggregation: Σ weight·term over all batches of an optimizer step is its loss. 0 is padding. */
  readonly weight: Tensor;
  /** [M] importance correction; 1 without one. */
  readonly importance: Tensor;
  /** [M] log-probabilities under the reference; `old` without one. */
  readonly reference: Tensor;
  /** [S + 1] u32: sequence s has the tokens from offsets[s] up to offsets[s + 1]. */
  readonly offsets: Tensor;
  /** [M] entropy of the distribution that the token was drawn from, in nats. */
  readonly entropies: Tensor;
}

/** A loss in tensor operations: a scalar, already weighted by `weight`. It is traced once, not called every step. */
export type PolicyLossFunction = (input: PolicyLossInput) => Tensor;

/** What {@link policyObjective} minimises. */
export interface PolicyObjectiveOptions {
  readonly loss: PolicyLossForm | PolicyLossFunction;
  /** The divergence from the reference in the loss. Default none. */
  readonly kl?: NonNullable<PolicyLossOptions["kl"]>;
  /** Of the bonus on entropy. Default 0: none. */
  readonly entropyCoefficient?: number;
}

/** What {@link policyObjective} reads: a {@link PolicyLossInput} whose constants are rows of one tensor. */
export interface PolicyObjectiveInput
  extends Pick<PolicyLossInput, "logprobs" | "offsets" | "entropies"> {
  /** [5, M] `POLICY_LOSS_ROWS`: old, advantage, weight, importance, reference. */
  readonly rows: Tensor;
}

/** Scalars. */
export interface PolicyObjective {
  /** policy + coefficient·kl − entropyCoefficient·Σ weight·entropy. */
  readonly loss: Tensor;
  /** The policy's loss alone. */
  readonly policy: Tensor;
  /** Σ weight·kl; 0 without. */
  readonly kl: Tensor;
}

/**
 * The objective of a policy. A form is computed by one kernel, with its divergence; a function by its own operations, and
 * its divergence by the kernel.
 *
 * @throws ForgeError as `policyLoss` of the engine
 */
export function policyObjective(
  options: PolicyObjectiveOptions,
  input: PolicyObjectiveInput,
): PolicyObjective {
  const { loss: of, kl, entropyCoefficient = 0 } = options;
  const { logprobs, rows, offsets, entropies } = input;
  const constants = namedRows(rows);
  const isOwn = typeof of === "function";
  const form = isOwn ? ({ form: "reinforce" } as const) : of;
  const fused = policyLoss(logprobs, rows, offsets, { policy: form, ...(kl && { kl }) });
  const policy = isOwn ? of({ logprobs, offsets, entropies, ...constants }) : fused.policy;
  let loss = kl ? add(policy, mul(fused.kl, kl.coefficient)) : policy;
  if (entropyCoefficient !== 0) {
    const { weight } = constants;
    // What padding holds must not count, and 0 · NaN would.
    const entropy = sum(mul(where(notEqual(weight, 0), entropies, 0), weight));
    loss = add(loss, mul(entropy, -entropyCoefficient));
  }
  return { loss, policy, kl: fused.kl };
}

type NamedRows = Pick<PolicyLossInput, (typeof POLICY_LOSS_ROWS)[number]>;

function namedRows(rows: Tensor): NamedRows {
  const named = POLICY_LOSS_ROWS.map((name, i) => [name, reshape(slice(rows, 0, i, i + 1), [-1])]);
  return Object.fromEntries(named) as NamedRows;
}
