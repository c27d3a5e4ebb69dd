/**
 * Tolerances of comparisons with an f64 oracle, each with its reason. f32 has 2^-24 = 6e-8 of relative rounding error
 * (half an ulp), f16 2^-11 = 4.9e-4.
 */

/** Allowed: |actual − expected| ≤ abs + rel·|expected| + ofLargest·max|expected|. */
export interface Tolerance {
  readonly abs: number;
  readonly rel: number;
  /** Share of the largest expected element: for values that are sums of terms as large as that one. */
  readonly ofLargest?: number;
}

const ULP = 2 ** -23;

/** The table. A test names the row whose reason applies to it. */
export const TOLERANCES = {
  /** Moved, compared, integer, or the same arithmetic in the same order: bits must agree. */
  exact: { abs: 0, rel: 0 },
  /** One correctly rounded operation (+ − ×, rounding), or a few with constants. */
  arithmetic: { abs: 1e-37, rel: 2 * ULP },
  /** WGSL allows 2.5 ulp for a division, and as much for a root made of one. */
  division: { abs: 1e-37, rel: 5 * ULP },
  /** WGSL allows exp 3 + 2·|x| ulp, and log 2^-21 absolute near 1; arguments in tests are below 8. */
  transcendental: { abs: 2 ** -20, rel: 24 * ULP },
  /** WGSL allows sin and cos 2^-11 absolute in [−π, π]; that is the promise, drivers do better. */
  trigonometric: { abs: 2 ** -11, rel: 0 },
  /** pow is exp2(y·log2 x): the error of log2 is multiplied by y and becomes relative. */
  power: { abs: 1e-6, rel: 64 * ULP },
  /** A chain of a few dozen operations, transcendental ones among them: gradients of activations, of whole expressions. */
  chain: { abs: 2e-6, rel: 2e-5 },
  /** The same operations with sums of up to 96 terms in another order; abs is a share of the largest intermediate. */
  reordered: { abs: 32 * ULP, rel: 8 * ULP },
  /** Gradients of whole expressions in f32: sums of products of what a few dozen operations gave. */
  gradient: { abs: 2e-6, rel: 2e-5, ofLargest: 1e-5 },
  /** Row kernels (softmax, norms): a sum over a row, then a division or a root; elements are of order 1. */
  row: { abs: 2e-6, rel: 1e-5 },
  /** Gradients of row kernels: differences of terms as large as the largest one. */
  rowGradient: { abs: 2e-6, rel: 2e-5, ofLargest: 1e-5 },
  /** 20 steps of an optimizer: each rounds parameters of order 1 once, and moves them by lr ≤ 0.05 times a few ulp. */
  optimizer: { abs: 3e-6, rel: 20 * ULP },
  /** Log-probs of one token computed in two layouts (issue 2, §3). */
  logProb: { abs: 1e-5, rel: 0 },
  /** Gradients of whole models in two layouts: 1e-4 of the largest (issue 2, §3). */
  parameterGradient: { abs: 1e-8, rel: 0, ofLargest: 1e-4 },
  /** Batch 8 against twice 4 accumulated (issue 2, §3). */
  accumulated: { abs: 1e-6, rel: 1e-6 },
  /** Central differences in f64: h = 1e-5 leaves h² truncation and 1e-16/h rounding. */
  differences: { abs: 1e-7, rel: 1e-6 },
  /** Values stored as f16, computed at f16's precision by one or two operations. */
  half: { abs: 1e-4, rel: 4 * 2 ** -11 },
} as const satisfies Record<string, Tolerance>;

/**
 * A sum in f32 of `count` terms with |term| ≤ `size`, in any order: each partial sum is rounded by half an ulp of itself.
 * Terms of mixed signs have partial sums of √i, so errors add up to count·2^-24 (as random walks do); terms of one sign
 * have partial sums of i, and errors of √count·2^-24 of the result. Four times that.
 */
export function summed(count: number, size = 1): Tolerance {
  return { abs: 4 * 2 ** -24 * count * size, rel: 4 * 2 ** -24 * Math.sqrt(count) };
}
