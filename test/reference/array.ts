/**
 * Arrays of any rank in f64, by the definition: broadcasting, views, reductions and concatenation, element by element.
 */

/** A row-major array. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Number of elements. */
export function count(shape: readonly number[]): number {
  return shape.reduce((n, s) => n * s, 1);
}

/** An array from row-major elements. */
export function array(shape: readonly number[], data: ArrayLike<number>): NdArray {
  if (data.length !== count(shape)) {
    throw new RangeError(`${data.length} elements for [${shape.join()}]`);
  }
  return { shape, data: Array.from(data) };
}

/** Every coordinate of a shape, in row-major order. */
export function coordinates(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((c) => Array.from({ length: size }, (_, i) => [...c, i])),
    [[]],
  );
}

/** The element at a coordinate. */
export function at({ shape, data }: NdArray, coordinate: readonly number[]): number {
  const index = shape.reduce((i, size, axis) => i * size + (coordinate[axis] ?? 0), 0);
  return data[index] as number;
}

/** An array whose elements are given by their coordinates. */
export function build(
  shape: readonly number[],
  element: (coordinate: readonly number[]) => number,
): NdArray {
  return { shape, data: coordinates(shape).map(element) };
}

/** NumPy's rule: shapes align at the last axis; sizes are equal or 1. Undefined when they do not fit. */
export function broadcastShape(shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const out: number[] = [];
  for (let fromEnd = 1; fromEnd <= rank; fromEnd++) {
    const sizes = shapes.map((s) => s[s.length - fromEnd] ?? 1).filter((s) => s !== 1);
    if (sizes.some((s) => s !== sizes[0])) return undefined;
    out.unshift(sizes[0] ?? 1);
  }
  return out;
}

/** Repeats axes of size 1. */
export function expand(x: NdArray, shape: readonly number[]): NdArray {
  const lead = shape.length - x.shape.length;
  return build(shape, (c) =>
    at(
      x,
      x.shape.map((size, i) => (size === 1 ? 0 : (c[lead + i] ?? 0))),
    ),
  );
}

/** `fn` of elements at the same place, with broadcasting. */
export function zip(fn: (...values: number[]) => number, ...arrays: readonly NdArray[]): NdArray {
  const shape = broadcastShape(arrays.map((a) => a.shape));
  if (!shape) throw new RangeError("shapes do not broadcast");
  const full = arrays.map((a) => expand(a, shape));
  return {
    shape,
    data: coordinates(shape).map((_, i) => fn(...full.map((a) => a.data[i] as number))),
  };
}

/** Axes in another order. */
export function permute(x: NdArray, axes: readonly number[]): NdArray {
  const shape = axes.map((a) => x.shape[a] as number);
  return build(shape, (c) => {
    const source: number[] = [];
    axes.forEach((a, i) => {
      source[a] = c[i] as number;
    });
    return at(x, source);
  });
}

/** The same elements under another shape. */
export function reshape(x: NdArray, shape: readonly number[]): NdArray {
  return array(shape, x.data);
}

/** The part of `shape` that starts at `starts`. */
export function slice(x: NdArray, starts: readonly number[], shape: readonly number[]): NdArray {
  return build(shape, (c) =>
    at(
      x,
      c.map((i, axis) => i + (starts[axis] as number)),
    ),
  );
}

/** `fn` of all elements along `axes`, which keep size 1. */
export function reduce(
  x: NdArray,
  axes: readonly number[],
  fn: (values: readonly number[]) => number,
): NdArray {
  const isReduced = (axis: number): boolean => axes.includes(axis);
  const shape = x.shape.map((s, i) => (isReduced(i) ? 1 : s));
  const groups = new Map<string, number[]>(coordinates(shape).map((c) => [c.join(), []]));
  for (const c of coordinates(x.shape)) {
    groups.get(c.map((i, axis) => (isReduced(axis) ? 0 : i)).join())?.push(at(x, c));
  }
  return { shape, data: coordinates(shape).map((c) => fn(groups.get(c.join()) ?? [])) };
}

/** Arrays joined along an axis. */
export function concat(parts: readonly NdArray[], axis: number): NdArray {
  const first = parts[0] as NdArray;
  const total = parts.reduce((n, p) => n + (p.shape[axis] as number), 0);
  return build(
    first.shape.map((s, i) => (i === axis ? total : s)),
    (c) => {
      let start = 0;
      for (const part of parts) {
        const size = part.shape[axis] as number;
        const i = c[axis] as number;
        if (i < start + size)
          return at(
            part,
            c.map((x, a) => (a === axis ? i - start : x)),
          );
        start += size;
      }
      throw new RangeError("outside of all parts");
    },
  );
}

/** `value` before and after each axis. */
export function pad(
  x: NdArray,
  amounts: readonly (readonly [number, number])[],
  value: number,
): NdArray {
  const before = x.shape.map((_, i) => amounts[i]?.[0] ?? 0);
  return build(
    x.shape.map((s, i) => s + (before[i] as number) + (amounts[i]?.[1] ?? 0)),
    (c) => {
      const source = c.map((i, axis) => i - (before[axis] as number));
      const isInside = source.every((i, axis) => i >= 0 && i < (x.shape[axis] as number));
      return isInside ? at(x, source) : value;
    },
  );
}

/** Central differences of a scalar function of arrays, for each element of each array. */
export function differences(
  fn: (...inputs: readonly NdArray[]) => number,
  inputs: readonly NdArray[],
  h = 1e-5,
): NdArray[] {
  return inputs.map((x, n) => {
    const nudged = (i: number, by: number): number => {
      const data = x.data.map((v, j) => (j === i ? v + by : v));
      return fn(...inputs.map((y, m) => (m === n ? { shape: x.shape, data } : y)));
    };
    const data = x.data.map((_, i) => (nudged(i, h) - nudged(i, -h)) / (2 * h));
    return { shape: x.shape, data };
  });
}
