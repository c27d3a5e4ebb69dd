/** Gated activations in double precision: out = act(gate) · up. */

export type GatedActivation = "silu" | "gelu_tanh" | "gelu_erf";

export function gated(
  activation: GatedActivation,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
): Float64Array {
  return Float64Array.from(
    { length: gate.length },
    (_, i) => value(activation, Number(gate[i])) * Number(up[i]),
  );
}

export function gatedBackward(
  activation: GatedActivation,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  dout: ArrayLike<number>,
): { readonly dgate: Float64Array; readonly dup: Float64Array } {
  const dgate = new Float64Array(gate.length);
  const dup = new Float64Array(gate.length);
  for (let i = 0; i < gate.length; i++) {
    const v = Number(gate[i]);
    const d = Number(dout[i]);
    dgate[i] = d * Number(up[i]) * slope(activation, v);
    dup[i] = d * value(activation, v);
  }
  return { dgate, dup };
}

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);

function value(activation: GatedActivation, v: number): number {
  switch (activation) {
    case "silu":
      return v / (1 + Math.exp(-v));
    case "gelu_tanh":
      return 0.5 * v * (1 + Math.tanh(SQRT_2_OVER_PI * (v + 0.044715 * v ** 3)));
    case "gelu_erf":
      return v * normalProbability(v);
  }
}

function slope(activation: GatedActivation, v: number): number {
  switch (activation) {
    case "silu": {
      const p = 1 / (1 + Math.exp(-v));
      return p + v * p * (1 - p);
    }
    case "gelu_tanh": {
      const tanh = Math.tanh(SQRT_2_OVER_PI * (v + 0.044715 * v ** 3));
      const inner = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * v * v);
      return 0.5 * (1 + tanh) + 0.5 * v * (1 - tanh * tanh) * inner;
    }
    case "gelu_erf":
      return normalProbability(v) + (v * Math.exp(-0.5 * v * v)) / Math.sqrt(2 * Math.PI);
  }
}

/** Φ(v) by its Taylor series about 0 (Marsaglia 2004, J. Stat. Softw. 11(4)), which converges for every v. */
function normalProbability(v: number): number {
  if (Math.abs(v) > 8) return v > 0 ? 1 : 0;
  let sum = v;
  let term = v;
  for (let i = 3; sum + term !== sum; i += 2) {
    term *= (v * v) / i;
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-0.5 * v * v)) / Math.sqrt(2 * Math.PI);
}
