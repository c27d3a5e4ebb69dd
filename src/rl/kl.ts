/** Estimates of the divergence of one policy from another, from the log-probabilities of sampled tokens. */

/** k1 = x, k2 = x²/2, k3 = e^−x + x − 1, abs = |x|, with x = logπ − logπ_ref. */
export type KlEstimator = "k1" | "k2" | "k3" | "abs";

/**
 * Estimate of KL(π ‖ π_ref) in nats from a token sampled from π (Schulman 2020, http://joschu.net/blog/kl-approx.html).
 *
 * k1 and k3 have the right mean, k3 is never negative, and k2 has the smallest spread. verl clamps x to ±20 and the
 * result to ±10; this does neither.
 */
export function klEstimate(x: number, estimator: KlEstimator): number {
  switch (estimator) {
    case "k1":
      return x;
    case "k2":
      return 0.5 * x * x;
    case "k3":
      // Not exp(-x) - 1: that loses digits where the policies are close, which is nearly everywhere.
      return Math.expm1(-x) + x;
    case "abs":
      return Math.abs(x);
  }
}
