/** Forms of the policy's loss and of the divergence in it. */

/** Estimators of a divergence; see `klEstimate`. */
type Estimator = "k1" | "k2" | "k3" | "abs";

/**
 * How a divergence enters a loss. With `+`: the value of the estimator and the gradient of k2. `unbiased-k3`: k3 times the
 * ratio of the policy to the old one, differentiated through both.
 */
export type KlKind = Estimator | `${Estimator}+` | "unbiased-k3";

/** A loss of which one kernel computes value and gradient. r = π_θ / π_old, δ = log r. */
export type PolicyLossForm =
  | {
      readonly form: "clip";
      readonly low: number;
      readonly high: number;
      readonly dual?: number;
      readonly delta?: number;
    }
  | {
      readonly form: "cispo";
      readonly ratioCap: number;
      readonly floor?: number;
      readonly trust?: { readonly low: number; readonly high: number };
    }
  | { readonly form: "sapo"; readonly tauPositive: number; readonly tauNegative: number }
  | { readonly form: "reinforce" }
  | { readonly form: "dppo"; readonly distance: number; readonly ratioCap: number }
  | { readonly form: "prime-rl"; readonly distance: number; readonly klTau: number }
  | {
      readonly form: "sequence-clip";
      readonly low: number;
      readonly high: number;
      readonly dual?: number;
    }
  | { readonly form: "sequence-sum-clip"; readonly low: number; readonly high: number }
  | { readonly form: "geometric-mean"; readonly bound: number; readonly epsilon?: number };
