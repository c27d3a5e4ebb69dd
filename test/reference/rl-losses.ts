/** Oracle of policy-gradient losses: how per-token terms become one number and its gradient to logπ_θ, in f64. */

/** One row per sequence, one number per token. */
export type Rows = readonly ArrayLike<number>[];

/** What a policy loss reads, all [sequences][tokens]. */
export interface PolicyBatch {
  /** logπ_θ: what is differentiated. */
  readonly logp: Rows;
  /** logπ_old: the denominator of the ratio. */
  readonly old: Rows;
  readonly advantages: Rows;
  /** 1 for sampled tokens. */
  readonly mask: Rows;
  /** logπ_θ where the loss does not differentiate. Default `logp`; differences of a loss hold it still. */
  readonly frozen?: Rows;
  /** Factor on each token's loss, never differentiated. Default 1. */
  readonly importance?: Rows;
}

/** A loss and its derivatives. */
export interface Loss {
  readonly value: number;
  /** [sequences][tokens] to logπ_θ, or to what the loss says. */
  readonly gradient: Float64Array[];
}

/** One token of a batch. */
export interface Token {
  readonly logp: number;
  readonly old: number;
  readonly advantage: number;
  readonly frozen: number;
}

/** Loss of one token, and its derivative to that token's log-probability. */
export interface Term {
  readonly loss: number;
  readonly slope: number;
}

/** How terms are summed up. */
export interface Aggregation {
  readonly mode:
    | "token-mean"
    | "seq-mean-token-mean"
    | "seq-mean-token-sum"
    | "seq-mean-token-sum-norm";
  /** Divisor of seq-mean-token-sum-norm. */
  readonly horizon?: number;
  /** Added to a sequence's length in seq-mean-token-mean; verl has 1e-8. Default 0. */
  readonly epsilon?: number;
  /** Of the whole batch, where these rows are a part of it. Default: counted here. */
  readonly totals?: Totals;
}

/** Denominators. */
export interface Totals {
  readonly tokens: number;
  /** With at least one sampled token. */
  readonly sequences: number;
}

export function totalsOf(mask: Rows): Totals {
  const lengths = mask.map(lengthOf);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return { tokens, sequences: lengths.filter((length) => length > 0).length };
}

export function lengthOf(mask: ArrayLike<number>): number {
  return Array.from(mask).reduce((sum, m) => sum + m, 0);
}

/** What each token's loss is multiplied by before everything is added; 0 where the mask is. */
export function coefficients(mask: Rows, aggregation: Aggregation): Float64Array[] {
  const { mode, horizon = Number.NaN, epsilon = 0, totals = totalsOf(mask) } = aggregation;
  return mask.map((row) => {
    const divisor = {
      "token-mean": totals.tokens,
      "seq-mean-token-mean": totals.sequences * (lengthOf(row) + epsilon),
      "seq-mean-token-sum": totals.sequences,
      "seq-mean-token-sum-norm": totals.sequences * horizon,
    }[mode];
    return Float64Array.from(row, (m) => (m === 0 ? 0 : m / divisor));
  });
}

/** A loss of which each term depends on its own token only. */
export function tokenLoss(
  term: (token: Token) => Term,
  batch: PolicyBatch,
  aggregation: Aggregation,
): Loss {
  const weights = coefficients(batch.mask, aggregation);
  let value = 0;
  const gradient = weights.map((row, i) =>
    row.map((weight, t) => {
      if (weight === 0) return 0;
      const { loss, slope } = term(tokenOf(batch, i, t));
      const factor = weight * at(batch.importance, i, t, 1);
      value += factor * loss;
      return factor * slope;
    }),
  );
  return { value, gradient };
}

/** Mean over sampled tokens, over `Σ mask + epsilon`; verl's metrics have 1e-8. */
export function maskedMean(
  mask: Rows,
  epsilon: number,
  of: (i: number, t: number) => number,
): number {
  let sum = 0;
  for (const [i, row] of mask.entries()) {
    for (let t = 0; t < row.length; t++) if (row[t] === 1) sum += of(i, t);
  }
  return sum / (totalsOf(mask).tokens + epsilon);
}

export function tokenOf(batch: PolicyBatch, i: number, t: number): Token {
  const logp = at(batch.logp, i, t);
  return {
    logp,
    old: at(batch.old, i, t),
    advantage: at(batch.advantages, i, t),
    frozen: at(batch.frozen, i, t, logp),
  };
}

export function at(rows: Rows | undefined, i: number, t: number, absent = Number.NaN): number {
  return rows?.[i]?.[t] ?? absent;
}

export function clip(x: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, x));
}
