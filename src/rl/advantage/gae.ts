/** Generalised advantage estimation over the sampled tokens of a text. */
import { type Chains, sharedToGo } from "../chains.ts";
import { checkFinite, checkSameShape, type Row, type Rows, within } from "../rows.ts";
import { whiten } from "../statistics.ts";
import { checkSampledChains, checkSampledRewards } from "./sampled-rewards.ts";

/** What {@link gaeAdvantage} reads, all [samples][tokens]. */
export interface GaeInput {
  /** An outcome stands on the last sampled token, KL penalties on every one. */
  readonly rewards: Rows;
  /** V of the state in which the token was sampled. */
  readonly values: Rows;
  /** 1 for sampled tokens. */
  readonly mask: Rows;
  /**
   * [samples] how tokens follow each other; undefined for one line. Default: all are. With chains, all tokens of the sample
   * were sampled, and its rewards are what they earned by themselves.
   */
  readonly chains?: readonly (Chains | undefined)[];
}

/** Options of {@link gaeAdvantage}. */
export interface GaeOptions {
  /** Discount γ. Default 1. */
  readonly gamma?: number;
  /** Share λ of what follows. Default 1. */
  readonly lambda?: number;
  /** Whether the advantages are whitened over the batch. Default true. */
  readonly whiten?: boolean;
}

/** What {@link gaeAdvantage} gives, both [samples][tokens]. */
export interface GaeResult {
  /** Meaningless on tokens that were not sampled, as in verl: no loss reads them. */
  readonly advantages: Float64Array[];
  /** Targets of the value function: A + V, from before the whitening. */
  readonly returns: Float64Array[];
}

/**
 * δ_t = r_t + γ·V_{t+1} − V_t and A_t = δ_t + γλ·A_{t+1} over the sampled tokens (Schulman et al. 2015,
 * arXiv:1506.02438, eq. 16, as in verl). A tool's tokens are stepped over: the value and the advantage that follow them
 * are passed on unchanged. After the last token V = 0. A row without a sampled token: zeros before the whitening.
 *
 * With chains, V less what is shared is what a chain is still to earn by itself, and what follows a token is the sum over the
 * tokens that follow it: with λ = 1, A_t + V_t is the reward-to-go along the chains, and on one line all is as above.
 *
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for a mask of something else than 0 and 1, a
 *   reward on a token that was not sampled, or γ or λ outside [0, 1]
 */
export function gaeAdvantage(input: GaeInput, options: GaeOptions = {}): GaeResult {
  const { rewards, values, mask, chains } = input;
  checkSampledRewards("gae", rewards, mask);
  checkSampledChains("gae", chains, mask);
  checkSameShape("gae", { rewards, values });
  checkFinite("gae: values", values);
  const gamma = within("gae: gamma", options.gamma ?? 1, 0, 1);
  const lambda = within("gae: lambda", options.lambda ?? 1, 0, 1);
  const raw = rewards.map((row, i) => {
    const own = chains?.[i];
    return own
      ? branchingAdvantages(row, values[i] as Row, own, gamma, lambda)
      : advantagesOf(row, values[i] as Row, mask[i] as Row, gamma, lambda);
  });
  const returns = raw.map((row, i) => row.map((a, t) => a + Number(values[i]?.[t])));
  return { advantages: (options.whiten ?? true) ? whiten(raw, mask) : raw, returns };
}

function advantagesOf(
  rewards: Row,
  values: Row,
  mask: Row,
  gamma: number,
  lambda: number,
): Float64Array {
  const advantages = new Float64Array(rewards.length);
  let [value, advantage] = [0, 0];
  for (let t = rewards.length - 1; t >= 0; t--) {
    if (mask[t] === 1) {
      const delta = Number(rewards[t]) + gamma * value - Number(values[t]);
      advantage = delta + gamma * lambda * advantage;
      value = Number(values[t]);
    }
    advantages[t] = advantage;
  }
  return advantages;
}

function branchingAdvantages(
  rewards: Row,
  values: Row,
  chains: Chains,
  gamma: number,
  lambda: number,
): Float64Array {
  const own = sharedToGo(chains, gamma).map((shared, t) => Number(values[t]) - shared);
  const advantages = new Float64Array(rewards.length);
  // sums over the tokens that follow each
  const [nextValues, nextAdvantages] = [advantages.slice(), advantages.slice()];
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = Number(rewards[t]) + gamma * Number(nextValues[t]) - Number(own[t]);
    advantages[t] = delta + gamma * lambda * Number(nextAdvantages[t]);
    const parent = chains.parents[t] ?? null;
    if (parent === null) continue;
    nextValues[parent] = Number(nextValues[parent]) + Number(own[t]);
    nextAdvantages[parent] = Number(nextAdvantages[parent]) + Number(advantages[t]);
  }
  return advantages;
}
