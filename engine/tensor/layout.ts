/**
 * Strided layouts: where in a buffer each element of a tensor lies. Views are layouts; they cost no copy.
 */
import { contiguousStrides, type Shape, sizeOf } from "./shape.ts";

/** Element at coordinates c lies at `offset + Σ c[i]·strides[i]` (in elements). A stride of 0 repeats. */
export interface Layout {
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** One movement: how a view's coordinates map to its input's. */
export type Movement =
  | { readonly kind: "reshape"; readonly shape: Shape }
  | { readonly kind: "permute"; readonly axes: readonly number[] }
  | { readonly kind: "expand"; readonly shape: Shape }
  | { readonly kind: "slice"; readonly starts: readonly number[]; readonly shape: Shape };

/** The row-major layout of a whole buffer. */
export function contiguous(shape: Shape): Layout {
  return { shape, strides: contiguousStrides(shape), offset: 0 };
}

/** True when elements lie in row-major order without gaps (axes of size 1 do not matter). */
export function isContiguous(layout: Layout): boolean {
  const strides = contiguousStrides(layout.shape);
  return layout.shape.every((s, i) => s === 1 || layout.strides[i] === strides[i]);
}

/** The layout of a view of `layout`, or undefined when only a copy can give it (a reshape across a gap). */
export function move(layout: Layout, movement: Movement): Layout | undefined {
  switch (movement.kind) {
    case "permute":
      return {
        shape: movement.axes.map((a) => layout.shape[a] ?? 1),
        strides: movement.axes.map((a) => layout.strides[a] ?? 0),
        offset: layout.offset,
      };
    case "expand": {
      const lead = movement.shape.length - layout.shape.length;
      return {
        shape: movement.shape,
        strides: movement.shape.map((s, i) =>
          i < lead || (layout.shape[i - lead] === 1 && s !== 1)
            ? 0
            : (layout.strides[i - lead] ?? 0),
        ),
        offset: layout.offset,
      };
    }
    case "slice":
      return {
        shape: movement.shape,
        strides: layout.strides,
        offset: movement.starts.reduce(
          (o, s, i) => o + s * (layout.strides[i] ?? 0),
          layout.offset,
        ),
      };
    case "reshape":
      return reshape(layout, movement.shape);
  }
}

/** Splits and joins axes where strides allow it: the joined axes of each side must cover the same elements evenly. */
function reshape(layout: Layout, shape: Shape): Layout | undefined {
  if (sizeOf(shape) === 0) return contiguous(shape);
  const from = mergeAxes(layout);
  const strides = new Array<number>(shape.length).fill(0);
  let axis = from.length - 1;
  let left = from[axis]?.size ?? 1;
  let stride = from[axis]?.stride ?? 0;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] ?? 1;
    if (size === 1) continue;
    while (left === 1 && axis > 0) {
      axis--;
      left = from[axis]?.size ?? 1;
      stride = from[axis]?.stride ?? 0;
    }
    if (left % size !== 0) return undefined;
    strides[i] = stride;
    stride *= size;
    left /= size;
  }
  return { shape, strides, offset: layout.offset };
}

/** One merged axis. */
export interface MergedAxis {
  readonly size: number;
  readonly stride: number;
}

/** Joins neighbouring axes that lie evenly behind each other and drops axes of size 1; outermost first. */
export function mergeAxes(layout: Layout): MergedAxis[] {
  const merged: { size: number; stride: number }[] = [];
  layout.shape.forEach((size, i) => {
    if (size === 1) return;
    const stride = layout.strides[i] ?? 0;
    const last = merged.at(-1);
    if (last && last.stride === stride * size) {
      last.size *= size;
      last.stride = stride;
    } else {
      merged.push({ size, stride });
    }
  });
  return merged;
}

/**
 * Joins neighbouring axes that lie evenly behind each other in *all* layouts (which share one shape).
 *
 * Returns the joined shape and each layout's strides over it; rank 0 becomes one axis of size 1.
 */
export function mergeTogether(layouts: readonly Layout[]): {
  shape: number[];
  strides: number[][];
} {
  const shape: number[] = [];
  const strides: number[][] = layouts.map(() => []);
  const full = layouts[0]?.shape ?? [];
  full.forEach((size, i) => {
    if (size === 1) return;
    const last = shape.length - 1;
    const joins =
      last >= 0 && layouts.every((l, n) => strides[n]?.[last] === (l.strides[i] ?? 0) * size);
    if (joins) {
      shape[last] = (shape[last] ?? 1) * size;
      layouts.forEach((l, n) => {
        (strides[n] as number[])[last] = l.strides[i] ?? 0;
      });
    } else {
      shape.push(size);
      layouts.forEach((l, n) => {
        strides[n]?.push(l.strides[i] ?? 0);
      });
    }
  });
  if (shape.length === 0) {
    shape.push(1);
    for (const s of strides) s.push(0);
  }
  return { shape, strides };
}
