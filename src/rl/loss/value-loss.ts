/** The loss of a value function. */
import {
  add,
  clamp,
  maximum,
  mul,
  notEqual,
  square,
  sub,
  sum,
  type Tensor,
  where,
} from "../../../engine/index.ts";
import { within } from "../rows.ts";

/** What {@link valueLoss} reads. */
export interface ValueLossInput {
  /** [M] V(s): what is differentiated. */
  readonly values: Tensor;
  /** [M] V(s) before the update. Read with `clip` only. */
  readonly old: Tensor;
  /** [M] */
  readonly returns: Tensor;
  /** [M] aggregation; 0 is padding, and counts nowhere whatever it holds. */
  readonly weight: Tensor;
  /** How far a value may move from `old` before it earns nothing more. Default: no bound. */
  readonly clip?: number;
}

/**
 * Σ weight·½·max((v − R)², (clip(v, v_old ± c) − R)²), as in verl; without a bound Σ weight·½·(v − R)².
 *
 * @returns a scalar
 * @throws ForgeError `argument_invalid` for a bound below 0
 */
export function valueLoss({ values, old, returns, weight, clip }: ValueLossInput): Tensor {
  if (clip !== undefined) within("valueLoss: clip", clip, 0, Number.MAX_VALUE);
  const isToken = notEqual(weight, 0);
  const [v, before, target] = [values, old, returns].map((x) => where(isToken, x, 0)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const free = square(sub(v, target));
  if (clip === undefined) return sum(mul(free, mul(weight, 0.5)));
  const held = clamp(v, sub(before, clip), add(before, clip));
  return sum(mul(maximum(free, square(sub(held, target))), mul(weight, 0.5)));
}
