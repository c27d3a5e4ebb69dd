/** Oracle of losses with one ratio per sequence: GSPO, GMPO and the sequence ratio of TRL's RLOO. */
import {
  type Aggregation,
  at,
  clip,
  coefficients,
  type Loss,
  lengthOf,
  type PolicyBatch,
  type Term,
  totalsOf,
} from "./rl-losses.ts";
import { type PpoClip, ppo } from "./rl-token-losses.ts";

/** Above this the log of GSPO's ratio is held, as in verl. */
const LOG_LIMIT = 10;

/** Σ_t (logπ_θ − logπ_old)·m of each sequence [sequences]. */
export function logRatios(batch: Pick<PolicyBatch, "logp" | "old" | "mask">): Float64Array {
  return Float64Array.from(batch.mask, (row, i) =>
    Array.from(row).reduce(
      (sum, m, t) => (m === 0 ? sum : sum + at(batch.logp, i, t) - at(batch.old, i, t)),
      0,
    ),
  );
}

/**
 * The clipped loss on s = exp(mean log-ratio of the sequence) (GSPO, arXiv:2507.18071, eq. 5–7).
 *
 * The gradient is that of the sequence form. The token form, sg[s]·π_θ/sg[π_θ], has the same one where a sequence has one
 * advantage, for then its tokens have equal shares.
 */
export function gspo(bounds: PpoClip, batch: PolicyBatch, aggregation: Aggregation): Loss {
  const term = ppo(bounds);
  const weights = coefficients(batch.mask, aggregation);
  const logs = logRatios(batch);
  let value = 0;
  const gradient = weights.map((row, i) => {
    const length = lengthOf(batch.mask[i] as ArrayLike<number>);
    const log = Math.min(LOG_LIMIT, Number(logs[i]) / length);
    let slopes = 0;
    for (const [t, weight] of row.entries()) {
      if (weight === 0) continue;
      const advantage = at(batch.advantages, i, t);
      const { loss, slope } = term({ logp: log, old: 0, frozen: log, advantage });
      const factor = weight * at(batch.importance, i, t, 1);
      value += factor * loss;
      slopes += log === LOG_LIMIT ? 0 : factor * slope;
    }
    return Float64Array.from(batch.mask[i] as ArrayLike<number>, (m) =>
      m === 0 ? 0 : slopes / length,
    );
  });
  return { value, gradient };
}

/** The clipped loss on exp(sum of log-ratios), mean over sequences (TRL's RLOO). Advantages: that of the first token. */
export function sequenceRatio(bounds: PpoClip, batch: PolicyBatch): Loss {
  const logs = logRatios(batch);
  const term = ppo(bounds);
  return overSequences(batch, (i, first) => {
    const log = Number(logs[i]);
    const { loss, slope } = term({
      ...{ logp: log, old: 0, frozen: log },
      advantage: at(batch.advantages, i, first),
    });
    return { loss, slopeOf: () => slope };
  });
}

/**
 * −mean(A)·exp(mean of the log-ratios, each held to ±ε where that is the pessimistic side), mean over sequences (GMPO,
 * arXiv:2507.20673, as in verl).
 *
 * @param epsilon added to lengths; verl has 1e-8
 */
export function gmpo(bound: number, batch: PolicyBatch, epsilon = 0): Loss {
  return overSequences(batch, (i) => {
    const row = batch.mask[i] as ArrayLike<number>;
    const length = lengthOf(row) + epsilon;
    let [advantage, log] = [0, 0];
    const isFree: boolean[] = [];
    for (let t = 0; t < row.length; t++) {
      if (row[t] === 0) continue;
      const a = at(batch.advantages, i, t);
      const delta = at(batch.logp, i, t) - at(batch.old, i, t);
      const held = clip(delta, -bound, bound);
      const sign = Math.sign(a);
      advantage += a / length;
      log += (sign * Math.min(sign * delta, sign * held)) / length;
      isFree[t] = sign * delta <= sign * held;
    }
    const loss = -advantage * Math.exp(log);
    return { loss, slopeOf: (t) => (isFree[t] ? loss / length : 0) };
  });
}

/** Mean over sequences with a sampled token of one term per sequence. */
function overSequences(
  batch: PolicyBatch,
  of: (i: number, first: number) => { loss: Term["loss"]; slopeOf: (t: number) => number },
): Loss {
  const { sequences } = totalsOf(batch.mask);
  let value = 0;
  const gradient = batch.mask.map((row, i) => {
    const first = Array.from(row).indexOf(1);
    if (first < 0) return new Float64Array(row.length);
    const { loss, slopeOf } = of(i, first);
    value += loss / sequences;
    return Float64Array.from(row, (m, t) => (m === 0 ? 0 : slopeOf(t) / sequences));
  });
  return { value, gradient };
}
