/**
 * Oracle of `shaders/lm-head*.wgsl`: log-prob of a label, log-sum-exp and entropy of rows of logits, and their gradient.
 */

/** What turns a logit into a score: `z = softcap · tanh(l / softcap) / temperature`, without the cap when `softcap` is 0. */
export interface ScoreOptions {
  readonly softcap: number;
  readonly temperature: number;
}

/** Logits [rows, cols] and a label per row; a label outside 0..cols-1 is none. */
export interface LabelledLogits {
  readonly logits: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  readonly cols: number;
}

/** Gradients of the three results, per row. */
export interface RowGradients {
  readonly dlogprob: ArrayLike<number>;
  readonly dlse: ArrayLike<number>;
  readonly dentropy: ArrayLike<number>;
}

function scoresOf(row: number, { logits, cols }: LabelledLogits, options: ScoreOptions): number[] {
  const { softcap, temperature } = options;
  return Array.from({ length: cols }, (_, c) => {
    const logit = Number(logits[row * cols + c]);
    return (softcap > 0 ? softcap * Math.tanh(logit / softcap) : logit) / temperature;
  });
}

function logSumExp(z: readonly number[]): number {
  const top = z.reduce((a, b) => Math.max(a, b));
  return top + Math.log(z.reduce((sum, x) => sum + Math.exp(x - top), 0));
}

/** Log-prob of the label (0 without one), log-sum-exp, and entropy of each row. */
export function lmHead(
  input: LabelledLogits,
  options: ScoreOptions,
): { logprob: Float64Array; lse: Float64Array; entropy: Float64Array } {
  const rows = input.labels.length;
  const logprob = new Float64Array(rows);
  const lse = new Float64Array(rows);
  const entropy = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    const z = scoresOf(r, input, options);
    const total = logSumExp(z);
    const labelled = z[Number(input.labels[r])];
    lse[r] = total;
    logprob[r] = labelled === undefined ? 0 : labelled - total;
    entropy[r] = z.reduce((sum, x) => sum - Math.exp(x - total) * (x - total), 0);
  }
  return { logprob, lse, entropy };
}

/** Gradient to the logits, written out from the Jacobian `∂p_j/∂z_c = p_j (δ_jc - p_c)`. */
export function lmHeadBackward(
  input: LabelledLogits,
  gradients: RowGradients,
  options: ScoreOptions,
): Float64Array {
  const { logits, labels, cols } = input;
  const dlogits = new Float64Array(labels.length * cols);
  for (let r = 0; r < labels.length; r++) {
    const z = scoresOf(r, input, options);
    const total = logSumExp(z);
    const p = z.map((x) => Math.exp(x - total));
    const entropy = z.reduce((sum, x, c) => sum - Number(p[c]) * (x - total), 0);
    const label = Number(labels[r]);
    const dlogprob = label >= 0 && label < cols ? Number(gradients.dlogprob[r]) : 0;
    for (let c = 0; c < cols; c++) {
      const pc = Number(p[c]);
      const dz =
        dlogprob * ((c === label ? 1 : 0) - pc) +
        Number(gradients.dlse[r]) * pc -
        Number(gradients.dentropy[r]) * pc * (Number(z[c]) - total + entropy);
      const t = options.softcap > 0 ? Math.tanh(Number(logits[r * cols + c]) / options.softcap) : 0;
      dlogits[r * cols + c] = (dz / options.temperature) * (1 - t * t);
    }
  }
  return dlogits;
}
