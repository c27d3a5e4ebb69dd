/** Counting tensors: computed where they are used, they cost no memory. */
import { iotaOp } from "../graph/expression.ts";
import { type DType, heldOnly, isHeldOnly } from "../tensor/dtype.ts";
import { normalizeAxis, type Shape } from "../tensor/shape.ts";
import { makeTensor, type Tensor } from "../tensor/tensor.ts";

/**
 * Each element's position along an axis. f32 counts exactly to 2^24, f16 to 2^11.
 *
 * Errors    `rank_mismatch`; `dtype_unsupported` for bf16.
 */
export function iota(shape: Shape, axis = -1, dtype: DType = "u32"): Tensor {
  if (isHeldOnly(dtype)) throw heldOnly("iota", dtype);
  const at = normalizeAxis("iota", axis, shape.length);
  return makeTensor(
    iotaOp,
    [],
    { strides: shape.map((_, i) => (i === at ? 1 : 0)) },
    { shape, dtype },
  );
}

/** The numbers 0, 1, …, count − 1. */
export function arange(count: number, dtype: DType = "u32"): Tensor {
  return iota([count], 0, dtype);
}
