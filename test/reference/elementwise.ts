/**
 * Elementwise ops in f64: each row of engine/ops/elementwise.ts as JavaScript knows it, and its partial derivatives.
 */

/** A function of numbers. Where its arguments make it smooth, central differences give its gradient. */
export type Scalar = (...x: number[]) => number;

/** Nearest integer, halves to the even one. */
function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

const sigmoid: Scalar = (x = 0) => 1 / (1 + Math.exp(-x));

/** The value of every float op. */
export const ELEMENTWISE = {
  add: (a = 0, b = 0) => a + b,
  sub: (a = 0, b = 0) => a - b,
  mul: (a = 0, b = 0) => a * b,
  div: (a = 0, b = 0) => a / b,
  maximum: (a = 0, b = 0) => Math.max(a, b),
  minimum: (a = 0, b = 0) => Math.min(a, b),
  pow: (a = 0, b = 0) => a ** b,
  remainder: (a = 0, b = 0) => a % b,
  neg: (x = 0) => -x,
  abs: (x = 0) => Math.abs(x),
  sign: (x = 0) => Math.sign(x),
  floor: (x = 0) => Math.floor(x),
  ceil: (x = 0) => Math.ceil(x),
  round: (x = 0) => roundEven(x),
  square: (x = 0) => x * x,
  sqrt: (x = 0) => Math.sqrt(x),
  rsqrt: (x = 0) => 1 / Math.sqrt(x),
  reciprocal: (x = 0) => 1 / x,
  exp: (x = 0) => Math.exp(x),
  log: (x = 0) => Math.log(x),
  sin: (x = 0) => Math.sin(x),
  cos: (x = 0) => Math.cos(x),
  tanh: (x = 0) => Math.tanh(x),
  sigmoid,
  relu: (x = 0) => Math.max(x, 0),
  silu: (x = 0) => x * sigmoid(x),
  gelu: (x = 0) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  softplus: (x = 0) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0),
} as const satisfies Record<string, Scalar>;

/** The gradient of a smooth function: central differences in f64. */
export function derivative(fn: Scalar, at: readonly number[], argument: number, h = 1e-5): number {
  const nudged = (by: number): number => fn(...at.map((x, i) => (i === argument ? x + by : x)));
  return (nudged(h) - nudged(-h)) / (2 * h);
}
