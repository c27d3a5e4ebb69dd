/**
 * Oracle of `shaders/sample*.wgsl` in f64: the distribution of a row, the tokens that truncations keep, and the draw.
 */
import { gumbelFromBits, philox4x32 } from "./random.ts";

/** Settings of a slot. */
export interface Sampling {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: bigint;
}

/** Nothing truncated. */
export const PLAIN: Sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 0n };

/** What a row says of its distribution and of the token drawn. */
export interface Draw {
  readonly token: number;
  readonly logprob: number;
  readonly entropy: number;
  readonly lse: number;
  /** Whether rounding in f32 could make another token the winner. */
  readonly isClose: boolean;
}

/** Share by which decisions must be apart for f32 to tell them. */
const MARGIN = 1e-5;

/** The token of a row whose last token stands at `position`. */
export function sample(logits: ArrayLike<number>, sampling: Sampling, position: number): Draw {
  const isGreedy = sampling.temperature === 0;
  const temperature = isGreedy ? 1 : Math.fround(sampling.temperature);
  const values = Array.from(logits);
  const top = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const distances = values.map((l) => (l - top) / temperature);
  const mass = distances.reduce((sum, d) => sum + Math.exp(d), 0);
  const mean = distances.reduce((sum, d) => sum + (Math.exp(d) * d) / mass, 0);
  const draws = isGreedy
    ? [{ token: values.indexOf(top), isClose: false }]
    : [1, 1 - MARGIN, 1 + MARGIN].map((by) => {
        const nudged = { ...sampling, topP: nudge(sampling.topP, by), minP: sampling.minP * by };
        return winner(
          distances,
          kept(distances, nudged),
          noiseOf(values.length, sampling, position),
        );
      });
  const [{ token }] = draws as [(typeof draws)[0]];
  return {
    token,
    logprob: (distances[token] as number) - Math.log(mass),
    entropy: Math.log(mass) - mean,
    lse: top / temperature + Math.log(mass),
    isClose: draws.some((d) => d.isClose || d.token !== token),
  };
}

/** 1 stays: it means that top-p is off. */
function nudge(topP: number, by: number): number {
  return topP === 1 ? 1 : topP * by;
}

/** Which tokens the truncations keep; `distances` are tempered logits, the largest 0. */
export function kept(distances: readonly number[], sampling: Sampling): boolean[] {
  const { topK } = sampling;
  const [topP, minP] = [Math.fround(sampling.topP), Math.fround(sampling.minP)];
  const order = [...distances.keys()].sort((a, b) => Number(distances[b]) - Number(distances[a]));
  const kth = Number(distances[order[Math.min(topK, order.length) - 1] ?? 0]);
  const keep = distances.map((d) => topK === 0 || d >= kth);
  const powers = distances.map((d, i) => (keep[i] ? Math.exp(d) : 0));
  const goal = topP * powers.reduce((a, b) => a + b, 0);
  let larger = 0;
  let equal = 0;
  order.forEach((i, rank) => {
    const before = order[rank - 1];
    if (before !== undefined && Number(distances[i]) < Number(distances[before])) {
      larger += equal;
      equal = 0;
    }
    equal += Number(powers[i]);
    if (topP < 1 && rank > 0 && larger > 0 && larger >= goal) keep[i] = false;
    if (distances[i] !== 0 && Math.exp(Number(distances[i])) < minP) keep[i] = false;
  });
  return keep;
}

function noiseOf(count: number, { seed }: Sampling, position: number): number[] {
  const key = [Number(seed & 0xffff_ffffn), Number(seed >> 32n)];
  const words = Array.from({ length: Math.ceil(count / 4) }, (_, group) =>
    philox4x32([group, position + 1, 0, 0], key),
  );
  return words.flat().map(gumbelFromBits);
}

function winner(
  distances: readonly number[],
  keep: readonly boolean[],
  noise: readonly number[],
): { token: number; isClose: boolean } {
  let token = -1;
  let best = Number.NEGATIVE_INFINITY;
  let second = Number.NEGATIVE_INFINITY;
  distances.forEach((d, i) => {
    const score = keep[i] ? d + Number(noise[i]) : Number.NEGATIVE_INFINITY;
    if (score > best) [token, best, second] = [i, score, best];
    else second = Math.max(second, score);
  });
  return { token, isClose: best - second < MARGIN * Math.max(1, Math.abs(best)) };
}
