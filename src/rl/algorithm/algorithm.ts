/** What an algorithm is: an advantage, a loss, and how they are put together. */
import type { Aggregation, SequenceUnit } from "../aggregation.ts";
import type { AdvantageFunction } from "../episode.ts";
import type { ImportanceCorrection } from "../importance/index.ts";
import type { KlKind, PolicyLossForm } from "../loss/forms.ts";
import type { PolicyLossFunction } from "../loss/policy-loss.ts";
import type { OverlongOptions } from "../reward/overlong.ts";

/** How the policy is held to the reference. */
export interface KlTerm {
  /** Added to the loss, or taken from the reward of each token before advantages are worked out. */
  readonly in: "loss" | "reward";
  readonly kind: KlKind;
  /** β. */
  readonly coefficient: number;
}

/** A value function beside the policy. */
export interface Critic {
  /** Factor of its loss. */
  readonly coefficient: number;
  /** How far a value may move from the old one before its loss stops following it. Default: any distance. */
  readonly clip?: number;
  /** A head on the policy's own layers, or a model of its own. */
  readonly model: "head" | "separate";
}

/** An algorithm, complete. Plain data and functions: spread one to make another, then `defineAlgorithm`. */
export interface Algorithm {
  readonly name: string;
  readonly advantage: AdvantageFunction;
  /** A form that the fused kernel knows, or a function of tensors. */
  readonly loss: PolicyLossForm | PolicyLossFunction;
  readonly aggregation: Aggregation;
  /** What a sequence is, to means over sequences and to losses with one ratio per sequence. */
  readonly per: SequenceUnit;
  /**
   * Denominator of the ratio: the log-probabilities that came with the sampled tokens, or those of the trainer's policy
   * before the update, which costs a pass over the batch.
   */
  readonly old: "rollout" | "trainer";
  /** Weights π_old / π_rollout; only where `old` is the trainer's, or they would count twice. */
  readonly importance?: ImportanceCorrection;
  readonly kl?: KlTerm;
  /** Bonus per nat of entropy; 0 is none. */
  readonly entropyCoefficient: number;
  readonly critic?: Critic;
  /** Passes over the samples of an optimizer step. */
  readonly epochs: number;
  /** Updates per pass. */
  readonly minibatches: number;
  /** Groups of equal rewards are dropped and others drawn, at most `refillCap` times; 0 drops them only. */
  readonly dynamicSampling?: { readonly refillCap: number };
  /** Answers near or at the limit of their length: a penalty, or no part in the loss for those that were cut. */
  readonly overlong?: OverlongOptions | "mask";
  /** Whether the loss cut a token short at a ratio, or its sequence: for the share of clipped tokens. */
  readonly isClipped: (ratio: number, advantage: number) => boolean;
  /** What it remembers from step to step; checkpoints hold it. */
  readonly memory?: AlgorithmMemory;
}

/** State of an algorithm, as plain data. */
export interface AlgorithmMemory {
  readonly read: () => unknown;
  /** Takes what {@link read} gave. */
  readonly write: (state: unknown) => void;
}
