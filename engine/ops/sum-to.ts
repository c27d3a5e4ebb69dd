/** The reverse of broadcasting. */
import { type Shape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { sum } from "./reduce.ts";
import { reshape } from "./view.ts";

/** Sums away what broadcasting from `shape` had added. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const axes = x.shape.flatMap((s, i) =>
    i < lead || (shape[i - lead] === 1 && s !== 1) ? [i] : [],
  );
  return reshape(axes.length ? sum(x, axes, { keepDims: true }) : x, shape);
}
