import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  contiguous,
  isContiguous,
  type Layout,
  type Movement,
  mergeAxes,
  mergeTogether,
  move,
} from "../../../engine/tensor/layout.ts";
import {
  array,
  at,
  coordinates,
  count,
  expand,
  type NdArray,
  permute,
  reshape,
  slice,
} from "../../reference/array.ts";

/** Where each element lies, in row-major order of the layout's shape. */
function addresses({ shape, strides, offset }: Layout): number[] {
  return coordinates(shape).map((c) => c.reduce((o, x, i) => o + x * (strides[i] ?? 0), offset));
}

/** What a movement does to an array of addresses. */
function moveArray(x: NdArray, movement: Movement): NdArray {
  switch (movement.kind) {
    case "reshape":
      return reshape(x, movement.shape);
    case "permute":
      return permute(x, movement.axes);
    case "expand":
      return expand(x, movement.shape);
    case "slice":
      return slice(x, movement.starts, movement.shape);
  }
}

/** Whether any strides give these addresses: they can only be the distances from the first element along each axis. */
function hasStrides(x: NdArray): boolean {
  const origin = x.shape.map(() => 0);
  const first = at(x, origin);
  const strides = x.shape.map((s, axis) => (s > 1 ? at(x, origin.with(axis, 1)) - first : 0));
  const found = addresses({ shape: x.shape, strides, offset: first });
  return found.every((a, i) => a === x.data[i]);
}

/** Factors of `size`, chosen by `picks`, whose product is `size`. */
function factors(size: number, picks: readonly number[]): number[] {
  const shape: number[] = [];
  let left = size;
  for (const pick of picks) {
    const divisors = Array.from({ length: left }, (_, i) => i + 1).filter((d) => left % d === 0);
    const factor = divisors[pick % divisors.length] as number;
    shape.push(factor);
    left /= factor;
  }
  return [...shape, left];
}

/** A movement that fits a shape, from random numbers. */
function movementFor(shape: readonly number[], [kind = 0, ...picks]: readonly number[]): Movement {
  const pick = (i: number): number => picks[i % picks.length] as number;
  switch (kind % 4) {
    case 0:
      return { kind: "reshape", shape: factors(count(shape), picks) };
    case 1: {
      const axes = shape.map((_, i) => i).sort((a, b) => pick(a) - pick(b) || a - b);
      return { kind: "permute", axes };
    }
    case 2: {
      const lead = pick(0) % 2 && shape.length < 5 ? [1 + (pick(1) % 2)] : [];
      return {
        kind: "expand",
        shape: [...lead, ...shape.map((s, i) => (s === 1 ? 1 + (pick(i) % 3) : s))],
      };
    }
    default: {
      const starts = shape.map((s, i) => (pick(i) % 3 === 0 ? Math.floor(s / 3) : 0));
      const sizes = shape.map((s, i) => Math.max(1, s - (starts[i] as number) - (pick(i + 1) % 2)));
      return { kind: "slice", starts, shape: sizes };
    }
  }
}

const chains = fc.array(fc.array(fc.nat(1000), { minLength: 4, maxLength: 6 }), { maxLength: 7 });
const start = fc.array(fc.constantFrom(1, 2, 3, 4, 6), { maxLength: 4 });

describe("move", () => {
  test("addresses the elements that the movements name, and gives up only where no strides exist", () => {
    let impossible = 0;
    fc.assert(
      fc.property(start, chains, (shape, chain) => {
        let layout = contiguous(shape);
        let elements = array(shape, addresses(layout));
        for (const numbers of chain) {
          const movement = movementFor(elements.shape, numbers);
          if (count(moveArray(elements, movement).shape) > 400) continue;
          const moved = moveArray(elements, movement);
          const next = move(layout, movement);
          if (!next) {
            impossible++;
            expect(hasStrides(moved)).toBe(false);
            return;
          }
          expect(next.shape).toEqual(moved.shape);
          expect(addresses(next)).toEqual(moved.data);
          [layout, elements] = [next, moved];
        }
      }),
      { numRuns: 3000 },
    );
    expect(impossible).toBeGreaterThan(50);
  });

  test("gives up on a reshape across a gap", () => {
    const transposed = move(contiguous([2, 3]), { kind: "permute", axes: [1, 0] }) as Layout;
    expect(move(transposed, { kind: "reshape", shape: [6] })).toBeUndefined();
    const sliced = move(contiguous([2, 3]), {
      kind: "slice",
      starts: [0, 0],
      shape: [2, 2],
    }) as Layout;
    expect(move(sliced, { kind: "reshape", shape: [4] })).toBeUndefined();
  });

  test("reshapes what has no elements", () => {
    expect(move(contiguous([0, 3]), { kind: "reshape", shape: [5, 0, 2] })?.shape).toEqual([
      5, 0, 2,
    ]);
  });
});

describe("isContiguous", () => {
  test("is true exactly where elements follow each other", () => {
    fc.assert(
      fc.property(start, chains, (shape, chain) => {
        let layout = contiguous(shape);
        for (const numbers of chain) {
          const movement = movementFor(layout.shape, numbers);
          const next = move(layout, movement);
          if (!next || count(next.shape) > 400) return;
          layout = next;
        }
        const found = addresses(layout);
        expect(isContiguous(layout)).toBe(found.every((a, i) => a === layout.offset + i));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("mergeAxes", () => {
  test("joins what lies evenly, drops axes of size 1, and keeps the addresses", () => {
    expect(mergeAxes(contiguous([2, 1, 3, 4]))).toEqual([{ size: 24, stride: 1 }]);
    expect(mergeAxes({ shape: [2, 3], strides: [1, 2], offset: 5 })).toEqual([
      { size: 2, stride: 1 },
      { size: 3, stride: 2 },
    ]);
    expect(mergeAxes({ shape: [2, 3], strides: [0, 0], offset: 0 })).toEqual([
      { size: 6, stride: 0 },
    ]);
    expect(mergeAxes(contiguous([1, 1]))).toEqual([]);
  });
});

describe("mergeTogether", () => {
  test("joins an axis only where all layouts allow it", () => {
    const rows = { shape: [2, 3, 4], strides: [12, 4, 1], offset: 0 };
    const repeated = { shape: [2, 3, 4], strides: [0, 4, 1], offset: 0 };
    expect(mergeTogether([rows, rows])).toEqual({ shape: [24], strides: [[1], [1]] });
    expect(mergeTogether([rows, repeated])).toEqual({
      shape: [2, 12],
      strides: [
        [12, 1],
        [0, 1],
      ],
    });
  });

  test("keeps the addresses of every layout", () => {
    fc.assert(
      fc.property(
        start,
        fc.array(fc.array(fc.nat(1000), { minLength: 4, maxLength: 4 }), { maxLength: 3 }),
        (shape, ops) => {
          const layouts: Layout[] = [contiguous(shape)];
          for (const numbers of ops) {
            const axes = shape
              .map((_, i) => i)
              .sort((a, b) => (numbers[a] ?? 0) - (numbers[b] ?? 0) || a - b);
            const inverse = shape.map((_, i) => axes.indexOf(i));
            const stored = contiguous(axes.map((a) => shape[a] as number));
            layouts.push(move(stored, { kind: "permute", axes: inverse }) as Layout);
          }
          const merged = mergeTogether(layouts);
          layouts.forEach((layout, n) => {
            const joined = {
              shape: merged.shape,
              strides: merged.strides[n] as number[],
              offset: layout.offset,
            };
            expect(addresses(joined)).toEqual(addresses(layout));
          });
        },
      ),
      { numRuns: 500 },
    );
  });

  test("gives a scalar one axis of size 1", () => {
    expect(mergeTogether([contiguous([]), contiguous([])])).toEqual({
      shape: [1],
      strides: [[0], [0]],
    });
  });
});
