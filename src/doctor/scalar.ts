/**
 * Numbers in f64 that remember how they were made, and so have gradients: what kernels are tested against. Each operation
 * is its definition and its derivative, one number at a time; nothing here knows how the engine computes.
 *
 * Source    Wengert 1964, A simple automatic derivative evaluation program
 */

/** A number on the tape. */
export class Scalar {
  readonly value: number;
  /** Of the outputs that `backward` was given, with their weights. */
  gradient = 0;
  /** What it was made from, and the derivative with respect to each. */
  readonly parents: readonly Scalar[];
  readonly derivatives: ArrayLike<number>;
  /** Increasing: parents have smaller numbers. */
  readonly order: number;

  constructor(value: number, parents: readonly Scalar[] = [], derivatives: ArrayLike<number> = []) {
    this.value = value;
    this.parents = parents;
    this.derivatives = derivatives;
    this.order = made++;
  }
}

let made = 0;

export function scalars(values: ArrayLike<number>): Scalar[] {
  return Array.from(values, (value) => new Scalar(value));
}

export function add(a: Scalar, b: Scalar): Scalar {
  return new Scalar(a.value + b.value, [a, b], [1, 1]);
}

export function sub(a: Scalar, b: Scalar): Scalar {
  return new Scalar(a.value - b.value, [a, b], [1, -1]);
}

export function mul(a: Scalar, b: Scalar): Scalar {
  return new Scalar(a.value * b.value, [a, b], [b.value, a.value]);
}

export function div(a: Scalar, b: Scalar): Scalar {
  return new Scalar(a.value / b.value, [a, b], [1 / b.value, -a.value / (b.value * b.value)]);
}

/** slope · a + offset. */
export function affine(a: Scalar, slope: number, offset = 0): Scalar {
  return new Scalar(slope * a.value + offset, [a], [slope]);
}

export function exp(a: Scalar): Scalar {
  const value = Math.exp(a.value);
  return new Scalar(value, [a], [value]);
}

export function log(a: Scalar): Scalar {
  return new Scalar(Math.log(a.value), [a], [1 / a.value]);
}

export function tanh(a: Scalar): Scalar {
  const value = Math.tanh(a.value);
  return new Scalar(value, [a], [1 - value * value]);
}

export function sqrt(a: Scalar): Scalar {
  const value = Math.sqrt(a.value);
  return new Scalar(value, [a], [0.5 / value]);
}

export function sum(terms: readonly Scalar[]): Scalar {
  const value = terms.reduce((total, t) => total + t.value, 0);
  return new Scalar(value, terms, new Float64Array(terms.length).fill(1));
}

/** Σ a[i] · b[i]. */
export function dot(a: readonly Scalar[], b: readonly Scalar[]): Scalar {
  const numberOf = (x: Scalar | undefined): number => x?.value ?? 0;
  const value = a.reduce((total, x, i) => total + x.value * numberOf(b[i]), 0);
  const derivatives = [...a.map((_, i) => numberOf(b[i])), ...a.map((x) => x.value)];
  return new Scalar(value, [...a, ...b], derivatives);
}

/** The largest of some. */
export function largest(of: readonly Scalar[]): Scalar {
  return of.reduce((a, b) => (b.value > a.value ? b : a));
}

/** Adds to the gradients of everything below `outputs` those of Σ weights[i] · outputs[i]. */
export function backward(outputs: readonly Scalar[], weights: ArrayLike<number>): void {
  outputs.forEach((output, i) => {
    output.gradient += weights[i] ?? 0;
  });
  for (const scalar of below(outputs)) {
    scalar.parents.forEach((parent, i) => {
      parent.gradient += scalar.gradient * (scalar.derivatives[i] ?? 0);
    });
  }
}

/** All numbers that the outputs were made from, users before what they use. */
function below(outputs: readonly Scalar[]): Scalar[] {
  const found = new Set(outputs);
  for (const scalar of found) for (const parent of scalar.parents) found.add(parent);
  return [...found].sort((a, b) => b.order - a.order);
}

/** Rows of `cols` numbers. */
export function rowsOf<T>(values: readonly T[], cols: number): T[][] {
  return Array.from({ length: values.length / cols }, (_, r) =>
    values.slice(r * cols, (r + 1) * cols),
  );
}
