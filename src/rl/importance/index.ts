/** Corrections for what the sampler's policy and the trainer's see differently. */

/** Of all corrections. */
interface Normalizable {
  /** Whether the weights are scaled to a mean of 1 over the tokens. Default false. */
  readonly normalize?: boolean;
}

/** w = π_old / π_rollout of a token, and what becomes of it. */
export type ImportanceCorrection = Normalizable &
  (
    | { readonly kind: "token-tis"; readonly cap: number }
    | { readonly kind: "sequence-tis"; readonly cap: number }
    | { readonly kind: "icepop"; readonly low: number; readonly high: number }
    | {
        readonly kind: "sequence-mask";
        readonly low?: number;
        readonly high: number;
        readonly of: "sum" | "mean";
      }
    | {
        readonly kind: "sequence-masked-tis";
        readonly low: number;
        readonly high: number;
        readonly cap: number;
      }
    | { readonly kind: "behaviour-cap"; readonly cap: number }
  );
