/** Losses of one's own. */
import type { Tensor } from "../../../engine/index.ts";

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
