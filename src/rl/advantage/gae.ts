/** Generalised advantage estimation over the sampled tokens of a text. */
import { checkFinite, checkSameShape, type Row, type Rows, within } from "../rows.ts";
import { whiten } from "../statistics.ts";
import { checkSampledRewards } from "./sampled-rewards.ts";

/** What {@link gaeAdvantage} reads, all [samples][tokens]. */
export interface GaeInput {
  /** An outcome stands on the last sampled token, KL penalties on every one. */
  readonly rewards: Rows;
  /** V of the state in which the token was sampled. */
  readonly values: Rows;
  /** 1 for sampled tokens. */
  readonly mask: Rows;
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
 * @throws ForgeError `shape_mismatch`; `non_finite`; `argument_invalid` for a mask of something else than 0 and 1, a
 *   reward on a token that was not sampled, or γ or λ outside [0, 1]
 */
export function gaeAdvantage(input: GaeInput, options: GaeOptions = {}): GaeResult {
  const { rewards, values, mask } = input;
  checkSampledRewards("gae", rewards, mask);
  checkSameShape("gae", { rewards, values });
  checkFinite("gae: values", values);
  const gamma = within("gae: gamma", options.gamma ?? 1, 0, 1);
  const lambda = within("gae: lambda", options.lambda ?? 1, 0, 1);
  const raw = rewards.map((row, i) =>
    advantagesOf(row, values[i] as Row, mask[i] as Row, gamma, lambda),
  );
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
