/**
 * The steps of random programs: each exists as an op of the engine and as its meaning on f64 arrays.
 */
import {
  abs,
  add,
  broadcastTo,
  cast,
  concat,
  greater,
  matmul,
  max,
  maximum,
  mean,
  min,
  minimum,
  mul,
  neg,
  pad,
  permute,
  reshape,
  sigmoid,
  slice,
  square,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
  where,
} from "../../engine/index.ts";
import {
  broadcastShape,
  concat as concatArrays,
  count,
  expand,
  type NdArray,
  pad as padArray,
  permute as permuteArray,
  reduce,
  reshape as reshapeArray,
  slice as sliceArray,
  zip,
} from "../reference/array.ts";
import { ELEMENTWISE } from "../reference/elementwise.ts";
import { matmulArrays } from "../reference/matmul.ts";

/** One step: a value made of earlier ones. */
export interface Step {
  readonly name: string;
  readonly args: readonly number[];
  readonly tensor: (...args: Tensor[]) => Tensor;
  readonly value: (...args: NdArray[]) => NdArray;
}

/** Which steps a program is made of. */
export type Repertoire =
  /** Integers stay integers below 2^20: every sum is exact, in whatever order. */
  | "exact"
  /** No steps that jump: small differences stay small. */
  | "continuous"
  /** Differentiable everywhere. */
  | "smooth";

/** What is known of a value before it exists. */
export interface Known {
  readonly shape: readonly number[];
  /** No element is larger than this. */
  readonly bound: number;
}
/** A step with what is known of its value. */
export type Made = Step & Known;
/** Makes a step from values so far and random numbers; undefined when it would be too large. */
export type Maker = (values: readonly Known[], picks: readonly number[]) => Made | undefined;

const MOST_ELEMENTS = 96;

/** An element of a list, by any number. */
export function pick<T>(list: readonly T[], at: number): T {
  return list[at % list.length] as T;
}

/** An elementwise op of one or two values that broadcast; the second is the first where none other fits. */
function map(
  name: string,
  arity: 1 | 2,
  tensor: (...args: Tensor[]) => Tensor,
  fn: (...x: number[]) => number,
  bound: (...b: number[]) => number,
): Maker {
  return (values, [p = 0, q = 0]) => {
    const a = p % values.length;
    const fits = values.flatMap((v, i) => {
      const shape = broadcastShape([v.shape, (values[a] as Known).shape]);
      return shape && count(shape) <= MOST_ELEMENTS ? [i] : [];
    });
    const args = arity === 1 ? [a] : [a, pick(fits, q)];
    const known = args.map((i) => values[i] as Known);
    const shape = broadcastShape(known.map((v) => v.shape)) as number[];
    const value = (...x: NdArray[]): NdArray => zip(fn, ...x);
    return { name, args, tensor, value, shape, bound: bound(...known.map((v) => v.bound)) };
  };
}

const largest = (...b: number[]): number => Math.max(...b);
const added = (a = 0, b = 0): number => a + b;
const two = (op: (a: Tensor, b: Tensor) => Tensor) => (a?: Tensor, b?: Tensor) =>
  op(a as Tensor, b as Tensor);
const one = (op: (a: Tensor) => Tensor) => (a?: Tensor) => op(a as Tensor);

/** A view or reduction of one value. */
function single(
  name: string,
  make: (
    v: Known,
    picks: readonly number[],
  ) => Omit<Made, "name" | "args" | "bound"> & { bound?: number },
): Maker {
  return (values, [p = 0, ...picks]) => {
    const a = p % values.length;
    const v = values[a] as Known;
    const made = make(v, picks);
    return count(made.shape) > MOST_ELEMENTS || made.shape.length > 4
      ? undefined
      : { name, args: [a], bound: v.bound, ...made };
  };
}

const VIEWS: readonly Maker[] = [
  single("permute", ({ shape }, picks) => {
    const axes = shape.map((_, i) => i).sort((x, y) => (picks[x] ?? 0) - (picks[y] ?? 0) || y - x);
    return {
      shape: axes.map((i) => shape[i] as number),
      tensor: (x) => permute(x as Tensor, axes),
      value: (x) => permuteArray(x as NdArray, axes),
    };
  }),
  single("reshape", ({ shape }, [q = 0]) => {
    const size = count(shape);
    const divisors = Array.from({ length: size }, (_, i) => i + 1).filter((d) => size % d === 0);
    const first = pick(divisors, q);
    const to = [first, size / first];
    return {
      shape: to,
      tensor: (x) => reshape(x as Tensor, to),
      value: (x) => reshapeArray(x as NdArray, to),
    };
  }),
  single("slice", ({ shape }, [q = 0, r = 0]) => {
    const axis = q % Math.max(1, shape.length);
    const size = shape[axis] ?? 1;
    const start = r % size;
    const to = shape.map((s, i) => (i === axis ? s - start : s));
    const starts = shape.map((_, i) => (i === axis ? start : 0));
    return {
      shape: to,
      tensor: (x) => (shape.length ? slice(x as Tensor, axis, start) : (x as Tensor)),
      value: (x) => sliceArray(x as NdArray, starts, to),
    };
  }),
  single("expand", ({ shape }, [q = 0]) => {
    const to = [1 + (q % 3), ...shape.map((s) => (s === 1 ? 1 + (q % 4) : s))];
    return {
      shape: to,
      tensor: (x) => broadcastTo(x as Tensor, to),
      value: (x) => expand(x as NdArray, to),
    };
  }),
];

function reduction(
  name: string,
  op: typeof sum,
  fn: (x: readonly number[]) => number,
  grows: boolean,
): Maker {
  return single(name, ({ shape, bound }, [q = 0, r = 0]) => {
    const axes = shape.map((_, i) => i).filter((i) => (q >> i) & 1);
    const keepDims = r % 2 === 0;
    const kept = shape.map((s, i) => (axes.includes(i) ? 1 : s));
    const to = keepDims ? kept : shape.filter((_, i) => !axes.includes(i));
    return {
      shape: to,
      bound: grows ? bound * (count(shape) / count(kept)) : bound,
      tensor: (x) => op(x as Tensor, axes, { keepDims }),
      value: (x) => reshapeArray(reduce(x as NdArray, axes, fn), to),
    };
  });
}

const total = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0);

const KERNELS: readonly Maker[] = [
  single("gram", ({ shape, bound }) => {
    const rank2 = shape.length >= 2 ? [...shape] : [1, count(shape)];
    const to = [...rank2.slice(0, -1), rank2.at(-2) as number];
    const swap = rank2.map((_, i) => i);
    [swap[swap.length - 1], swap[swap.length - 2]] = [swap.length - 2, swap.length - 1];
    return {
      shape: to,
      bound: bound * bound * (rank2.at(-1) as number),
      tensor: (x) => {
        const m = reshape(x as Tensor, rank2);
        return matmul(m, transpose(m));
      },
      value: (x) => {
        const m = reshapeArray(x as NdArray, rank2);
        return matmulArrays(m, permuteArray(m, swap));
      },
    };
  }),
  single("concat", ({ shape }, [q = 0]) => {
    const axis = q % Math.max(1, shape.length);
    const from = shape.length ? shape : [1];
    return {
      shape: from.map((s, i) => (i === axis ? 2 * s : s)),
      tensor: (x) => concat([reshape(x as Tensor, from), reshape(x as Tensor, from)], axis),
      value: (x) => {
        const part = reshapeArray(x as NdArray, from);
        return concatArrays([part, part], axis);
      },
    };
  }),
  single("pad", ({ shape }, [q = 0, r = 0]) => {
    const amounts = shape.map((_, i) => [(q >> i) & 1, (r >> i) & 1] as const);
    return {
      shape: shape.map((s, i) => s + (amounts[i]?.[0] ?? 0) + (amounts[i]?.[1] ?? 0)),
      tensor: (x) => pad(x as Tensor, amounts),
      value: (x) => padArray(x as NdArray, amounts, 0),
    };
  }),
];

const RING: readonly Maker[] = [
  map("add", 2, two(add), (a = 0, b = 0) => a + b, added),
  map("sub", 2, two(sub), (a = 0, b = 0) => a - b, added),
  map(
    "mul",
    2,
    two(mul),
    (a = 0, b = 0) => a * b,
    (a = 0, b = 0) => a * b,
  ),
  map("neg", 1, one(neg), (x = 0) => -x, largest),
];
const ORDER: readonly Maker[] = [
  map("maximum", 2, two(maximum), Math.max, largest),
  map("minimum", 2, two(minimum), Math.min, largest),
  map("abs", 1, one(abs), Math.abs, largest),
];
const JUMPS: readonly Maker[] = [
  map(
    "greater",
    2,
    (a, b) => cast(greater(a as Tensor, b as Tensor), (a as Tensor).dtype),
    (a = 0, b = 0) => Number(a > b),
    () => 1,
  ),
  map(
    "where",
    2,
    (a, b) => where(greater(a as Tensor, 0), b as Tensor, 1),
    (a = 0, b = 0) => (a > 0 ? b : 1),
    (_a, b = 0) => Math.max(1, b),
  ),
];
const SMOOTH: readonly Maker[] = [
  map("tanh", 1, one(tanh), Math.tanh, () => 1),
  map("sigmoid", 1, one(sigmoid), ELEMENTWISE.sigmoid, () => 1),
  map(
    "square",
    1,
    one(square),
    (x = 0) => x * x,
    (b = 0) => b * b,
  ),
];
const SUMS: readonly Maker[] = [reduction("sum", sum, total, true)];

const EXTREMES: readonly Maker[] = [
  reduction("max", max, (x) => Math.max(...x), false),
  reduction("min", min, (x) => Math.min(...x), false),
];
const MEANS: readonly Maker[] = [reduction("mean", mean, (x) => total(x) / x.length, false)];

/** The steps of each repertoire. */
export const REPERTOIRES: Readonly<Record<Repertoire, readonly Maker[]>> = {
  exact: [...RING, ...ORDER, ...JUMPS, ...VIEWS, ...SUMS, ...KERNELS, ...EXTREMES],
  continuous: [...RING, ...ORDER, ...VIEWS, ...SUMS, ...KERNELS, ...SMOOTH, ...MEANS, ...EXTREMES],
  smooth: [...RING, ...VIEWS, ...SUMS, ...KERNELS, ...SMOOTH, ...MEANS],
};

/** How large values may become. */
export const BOUNDS: Readonly<Record<Repertoire, number>> = {
  exact: 2 ** 20,
  continuous: 16,
  smooth: 8,
};
