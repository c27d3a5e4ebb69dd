/** Oracle of KL terms in the loss, with x = logπ_θ − logπ_ref. */
import type { Term, Token } from "./rl-losses.ts";

type Estimator = "k1" | "k2" | "k3" | "abs";

/** A name with `+` has its own value and the gradient of k2, the only one that is unbiased on policy. */
export type KlKind = Estimator | `${Estimator}+`;

/** Value and derivative of an estimate to x. */
export function kl(x: number, kind: KlKind): Term {
  if (kind.endsWith("+")) return { loss: kl(x, kind.slice(0, -1) as Estimator).loss, slope: x };
  switch (kind as Estimator) {
    case "k1":
      return { loss: x, slope: 1 };
    case "k2":
      return { loss: 0.5 * x * x, slope: x };
    case "k3":
      return { loss: Math.exp(-x) + x - 1, slope: 1 - Math.exp(-x) };
    case "abs":
      return { loss: Math.abs(x), slope: Math.sign(x) };
  }
}

/** The term of a token whose `old` is the reference. */
export function klTerm(kind: KlKind): (token: Token) => Term {
  return ({ logp, old }) => kl(logp - old, kind);
}

/** r·k3 with r = exp(logπ_θ − logπ_old), differentiated through both (DeepSeek-V3.2; TRL `use_bias_correction_kl`). */
export function unbiasedK3(logp: number, old: number, reference: number): Term {
  const r = Math.exp(logp - old);
  const { loss, slope } = kl(logp - reference, "k3");
  return { loss: r * loss, slope: r * (loss + slope) };
}
