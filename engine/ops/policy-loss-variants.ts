/** The kernel of policy losses: what a loss is called, and the numbers that the one shader text reads of it. */
import { ForgeError } from "../error.ts";
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import { lanesARow } from "./row-variants.ts";

/** k1 = x, k2 = x²/2, k3 = e^−x + x − 1, abs = |x|, with x = logπ − logπ_reference. */
type Estimator = "k1" | "k2" | "k3" | "abs";

/**
 * An estimate of the divergence from a reference, as a term of a loss. With `+` it has its own value and the gradient of
 * k2, the only one whose mean is that of the divergence on policy. `unbiased-k3` is r·k3, differentiated through both
 * (DeepSeek-V3.2, arXiv:2512.02556).
 */
export type KlKind = Estimator | `${Estimator}+` | "unbiased-k3";

/**
 * The term of a token in a policy loss, with r = π_θ / π_old and A the advantage. Numbers are 0 or more; Infinity is no
 * bound.
 *
 * - `clip`: max(−A·r, −A·clip(r, 1 − low, 1 + high)): PPO, GRPO, DAPO (arXiv:1707.06347, eq. 7). `dual`: at most −A·dual
 *   where A < 0 (arXiv:1912.09729). `delta`: cap on r in the unclipped branch, for either sign (TRL)
 * - `cispo`: −sg[clip(r, floor, ratioCap)]·A·logπ_θ (arXiv:2506.13585, eq. 4–5). `ratioCap` is r itself: 5 is 5. `floor`:
 *   default 0. `trust`: no gradient where `clip` with these bounds has none (eq. 6–7)
 * - `sapo`: −A·4/τ·σ(τ·(r − 1)), τ by the sign of A (arXiv:2511.20347)
 * - `reinforce`: −A·logπ_θ
 * - `dppo`: −sg[min(r, ratioCap)]·A·logπ_θ while π_θ − π_old is at most `distance` in the direction of A (DPPO-TV, verl)
 * - `prime-rl`: −A·r within `distance`, and klTau·(log r)² everywhere (prime-rl)
 * - `sequence-clip`: `clip` with r = exp(mean log-ratio of the sequence): GSPO (arXiv:2507.18071, eq. 5–7)
 * - `sequence-sum-clip`: `clip` with r = exp(sum of log-ratios) (TRL's RLOO)
 * - `geometric-mean`: −mean(A)·exp(mean log-ratio), each log-ratio held to ±`bound` where that is the pessimistic side,
 *   times the sum of the sequence's weights: GMPO (arXiv:2507.20673). `epsilon` is added to lengths, default 0
 */
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

/** A call of the kernel. */
export interface PolicyLossCall {
  readonly tokens: number;
  readonly sequences: number;
  readonly policy: PolicyLossForm;
  /** Default: none. */
  readonly kl?: KlKind;
}

/** Stands for no bound: WGSL knows no infinity, and no ratio comes near. */
const UNBOUND = 1e30;

/** Params from `form` on, as they do nothing; but for `form`, `isSum` all f32. */
const IDLE = {
  ...{ form: 0, low: 0, high: UNBOUND, dual: UNBOUND, delta: UNBOUND },
  ...{ floor: 0, cap: UNBOUND, trustLow: 0, trustHigh: UNBOUND, distance: UNBOUND, klTau: 0 },
  ...{ tauPositive: 1, tauNegative: 1, isSum: 0, logLimit: 20, bound: UNBOUND, epsilon: 0 },
};

/** Values of Params.form. */
const FORMS = { clip: 0, weighted: 1, gate: 2, ratio: 3, sequence: 4, geometric: 5 } as const;

const KINDS = ["k1", "k2", "k3", "abs", "unbiased-k3"];

/** Bindings: 1 logprobs · 2 rows [5, M] · 3 offsets · 4 sums [S, 2] · 5 slopes [2, M] · 6 status. One text for all losses. */
export function policyLossKernel(device: DeviceFacts, call: PolicyLossCall): KernelDispatch {
  const { tokens, sequences, policy, kl = "" } = call;
  const p = { ...IDLE, ...formParams(policy) };
  const f32 = (x: number) => ({ f32: Math.min(x, UNBOUND) });
  const kind = 1 + KINDS.indexOf(kl.replace("+", ""));
  return {
    name: "policy-loss",
    entry: "policy_loss",
    // lanesARow counts on four numbers a lane and step
    options: { constants: { WORKGROUP_SIZE: lanesARow(device, (4 * tokens) / sequences) } },
    params: paramWords([
      ...[tokens, sequences, p.form, kind, kl.endsWith("+") ? 1 : 0],
      ...[p.low, p.high, p.dual, p.delta].map(f32),
      ...[p.floor, p.cap, p.trustLow, p.trustHigh, p.distance, p.klTau].map(f32),
      ...[p.tauPositive, p.tauNegative].map(f32),
      p.isSum,
      ...[p.logLimit, p.bound, p.epsilon].map(f32),
    ]),
    grid: [...foldGrid(sequences), 1],
  };
}

function formParams(policy: PolicyLossForm): Partial<typeof IDLE> {
  switch (policy.form) {
    case "clip": {
      const { dual = UNBOUND, delta = UNBOUND } = policy;
      return { form: FORMS.clip, ...around1(policy), dual, delta };
    }
    case "cispo": {
      const { ratioCap: cap, floor = 0, trust } = policy;
      const { low: trustLow, high: trustHigh } = trust ? around1(trust) : { low: 0, high: UNBOUND };
      return { form: FORMS.weighted, floor, cap, trustLow, trustHigh };
    }
    case "sapo": {
      const { tauPositive, tauNegative } = policy;
      return { form: FORMS.gate, tauPositive, tauNegative };
    }
    case "reinforce":
      return { form: FORMS.weighted, floor: 1, cap: 1 };
    case "dppo":
      return { form: FORMS.weighted, cap: policy.ratioCap, distance: policy.distance };
    case "prime-rl":
      return { form: FORMS.ratio, distance: policy.distance, klTau: policy.klTau };
    case "sequence-clip": {
      const { dual = UNBOUND } = policy;
      return { form: FORMS.sequence, ...around1(policy), dual, logLimit: 10 };
    }
    case "sequence-sum-clip":
      return { form: FORMS.sequence, ...around1(policy), isSum: 1 };
    case "geometric-mean":
      return { form: FORMS.geometric, bound: policy.bound, epsilon: policy.epsilon ?? 0 };
  }
}

/** 1 − low, 1 + high. A ratio is never below 0. */
function around1(bounds: { readonly low: number; readonly high: number }): {
  low: number;
  high: number;
} {
  return { low: Math.max(0, 1 - bounds.low), high: 1 + bounds.high };
}

const NAMES: readonly PolicyLossForm["form"][] = [
  "clip",
  "cispo",
  "sapo",
  "reinforce",
  "dppo",
  "prime-rl",
  "sequence-clip",
  "sequence-sum-clip",
  "geometric-mean",
];

/** Errors: `argument_invalid` for an unknown form or kind, and for numbers outside of their ranges. */
export function checkPolicyLoss(
  policy: PolicyLossForm,
  kl: { readonly kind: KlKind; readonly coefficient: number } | undefined,
): void {
  require(NAMES.includes(policy.form), "form", policy.form, `one of ${NAMES.join(", ")}`);
  const { trust = {}, ...own } = policy as { trust?: object } & PolicyLossForm;
  for (const [name, value] of Object.entries({ ...own, ...trust })) {
    if (name === "form" || value === undefined) continue;
    const isTau = name === "tauPositive" || name === "tauNegative";
    const isInRange = isTau ? value >= 1e-6 && value <= 1e6 : value >= 0;
    require(typeof value === "number" && isInRange, name, value, isTau
      ? "from 1e-6 to 1e6"
      : "0 or more");
  }
  if (policy.form === "cispo") {
    const { floor = 0, ratioCap } = policy;
    require(ratioCap >= floor, "ratioCap", ratioCap, `not below floor (${floor})`);
  }
  if (!kl) return;
  const isKnown = KINDS.includes(kl.kind.replace(/(?<!unbiased-k3)\+$/, ""));
  require(isKnown, "kl.kind", kl.kind, `one of ${KINDS.join(", ")}, but for the last also with +`);
  const { coefficient } = kl;
  require(Number.isFinite(coefficient) &&
    coefficient >= 0, "kl.coefficient", coefficient, "a finite number, 0 or more");
}

function require(isMet: boolean, name: string, got: unknown, range: string): void {
  if (isMet) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: `policyLoss: ${name} is outside of its range.`,
    got: String(got),
    why: `${name} is ${range}`,
    fix: "correct it, or leave it out where it is optional",
  });
}
