/**
 * Oracle of losses whose terms depend on one token each: PPO and its clips, CISPO, SAPO, DPPO, REINFORCE.
 *
 * Formulas as in verl `trainer/ppo/core_algos.py`, TRL `grpo_trainer.py` and prime-rl, with r = exp(logπ_θ − logπ_old).
 */
import { clip, type Term, type Token } from "./rl-losses.ts";

type TokenTerm = (token: Token) => Term;

/** The log-ratio is held to this, as in verl; beyond it there is no gradient. */
const LOG_RATIO_LIMIT = 20;

/** r, and its derivative to logπ_θ. */
function ratio(token: Token): { readonly r: number; readonly slope: number } {
  const log = token.logp - token.old;
  const r = Math.exp(clip(log, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT));
  return { r, slope: Math.abs(log) > LOG_RATIO_LIMIT ? 0 : r };
}

/** Bounds of {@link ppo}. */
export interface PpoClip {
  /** ε_low. */
  readonly low: number;
  /** ε_high. */
  readonly high: number;
  /** c of the dual clip: for A < 0 the loss is at most −A·c. Default none. */
  readonly dual?: number;
  /** Cap on r in the unclipped branch, for either sign: TRL's `delta`. Default none. */
  readonly delta?: number;
}

/** max(−A·r, −A·clip(r, 1 − ε_low, 1 + ε_high)) (arXiv:1707.06347, eq. 7), with the dual clip of arXiv:1912.09729. */
export function ppo(bounds: PpoClip): TokenTerm {
  const { low, high, dual = Infinity, delta = Infinity } = bounds;
  return (token) => {
    const { r, slope } = ratio(token);
    const a = token.advantage;
    const free: Term = { loss: -a * Math.min(r, delta), slope: r > delta ? 0 : -a * slope };
    const isInside = r >= 1 - low && r <= 1 + high;
    const held = { loss: -a * clip(r, 1 - low, 1 + high), slope: isInside ? -a * slope : 0 };
    const worse = held.loss > free.loss ? held : free;
    const isCapped = a < 0 && worse.loss > -a * dual;
    return isCapped ? { loss: -a * dual, slope: 0 } : worse;
  };
}

/** Whether the clipped branch of {@link ppo} is the larger one: what verl counts as clipped. */
export function isClipped(token: Token, { low, high }: PpoClip): boolean {
  const { r } = ratio(token);
  return -token.advantage * clip(r, 1 - low, 1 + high) > -token.advantage * r;
}

/** Bounds of {@link cispo}. */
export interface CispoBounds {
  /** Absolute cap on the weight: 5 is 5. verl and slime call this 1 + ε_high, TRL `epsilon_high`. */
  readonly ratioCap: number;
  /** Default 0. verl has 1 − ε_low. */
  readonly floor?: number;
  /** ε of the unified mask: no gradient where PPO's clip has none. Default none. */
  readonly trust?: { readonly low: number; readonly high: number };
}

/** −sg[min(r, cap)]·A·logπ_θ (MiniMax-M1, arXiv:2506.13585, eq. 4–5; mask: eq. 6–7). */
export function cispo({ ratioCap, floor = 0, trust }: CispoBounds): TokenTerm {
  return (token) => {
    const { r } = ratio({ ...token, logp: token.frozen });
    const a = token.advantage;
    const isFar = trust && ((a > 0 && r > 1 + trust.high) || (a < 0 && r < 1 - trust.low));
    const slope = isFar ? 0 : -clip(r, floor, ratioCap) * a;
    return { loss: slope * token.logp, slope };
  };
}

/** −A·(4/τ)·σ(τ·(r − 1)), τ by the sign of A (SAPO, arXiv:2511.20347). */
export function sapo(tau: { readonly positive: number; readonly negative: number }): TokenTerm {
  return (token) => {
    const { r, slope } = ratio(token);
    const t = token.advantage > 0 ? tau.positive : tau.negative;
    const gate = 1 / (1 + Math.exp(-t * (r - 1)));
    return {
      loss: (-token.advantage * 4 * gate) / t,
      slope: -token.advantage * 4 * gate * (1 - gate) * slope,
    };
  };
}

/** −A·logπ_θ (REINFORCE; GPG has the same form). */
export function reinforce(token: Token): Term {
  return { loss: -token.advantage * token.logp, slope: -token.advantage };
}

/** −A·sg[min(r, cap)]·logπ_θ where p − p_old is at most `distance` in the direction of A (DPPO-TV, as in verl). */
export function dppo(distance: number, cap: number): TokenTerm {
  return (token) => {
    const { r } = ratio({ ...token, logp: token.frozen });
    const isKept = movedAlong(token) <= distance;
    const slope = isKept ? -token.advantage * Math.min(r, cap) : 0;
    return { loss: slope * token.logp, slope };
  };
}

/** −keep·A·r + τ·(log r)², r against the policy that sampled (prime-rl's default). */
export function primeRl(distance: number, klTau: number): TokenTerm {
  return (token) => {
    const { r, slope } = ratio(token);
    const log = token.logp - token.old;
    const a = movedAlong(token) > distance ? 0 : token.advantage;
    return { loss: -a * r + klTau * log * log, slope: -a * slope + 2 * klTau * log };
  };
}

/** How far the probability has moved in the direction of the advantage. */
function movedAlong({ frozen, old, advantage }: Token): number {
  const moved = Math.exp(frozen) - Math.exp(old);
  return advantage > 0 ? moved : -moved;
}
