/** Where the largest and the smallest element along an axis are. */
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { isFloat } from "../tensor/dtype.ts";
import { makeTensor, type Tensor } from "../tensor/tensor.ts";
import { cast, equal, neg, where } from "./elementwise.ts";
import { iota } from "./iota.ts";
import { max, min, type ReduceOptions } from "./reduce.ts";
import { chooseRow } from "./row-variants.ts";
import { inputRows, reduceAxis, takesRows } from "./rows.ts";
import { ARG_MAX } from "./scan-variants.ts";

/** Input x [..., C]. Output [...] u32. Piecewise constant: no gradient. */
const argMaxOp: KernelOp = {
  name: "arg_max",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const call = inputRows(context, node);
    if (call.rows === 0) return;
    emitDispatch(context, chooseRow(ARG_MAX, context.device, call), {
      bindings: [context.input(0).slot, context.output(0).slot],
      flops: call.rows * call.cols,
    });
  },
};

function rowArgMax(x: Tensor): Tensor {
  const type = { shape: x.shape.slice(0, -1), dtype: "u32" } as const;
  return makeTensor(argMaxOp, [cast(x, "f32")], {}, type);
}

/** Index of the first element of each row that equals the row's extreme: exact for integers of any size. */
function firstOf(x: Tensor, extreme: Tensor): Tensor {
  const columns = iota(x.shape, -1, "u32");
  return min(where(equal(x, extreme), columns, 0xffff_ffff), -1);
}

/**
 * Index of the largest element along an axis, the first of equal ones.
 *
 * Shapes    x [..., C] of any dtype, without NaN → [...] u32.
 * Gradient  none: the result is piecewise constant.
 * Errors    `rank_mismatch`; `shape_mismatch` for an axis of size 0.
 * Kernel    shaders/arg-max.wgsl; integers by two generated reductions
 */
export function argMax(x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor {
  return reduceAxis("argMax", x, axis, options, (rows) =>
    isFloat(rows.dtype) ? rowArgMax(rows) : firstOf(rows, max(rows, -1, { keepDims: true })),
  );
}

/** Index of the smallest element along an axis, the first of equal ones. All else is as in {@link argMax}. */
export function argMin(x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor {
  return reduceAxis("argMin", x, axis, options, (rows) =>
    isFloat(rows.dtype) ? rowArgMax(neg(rows)) : firstOf(rows, min(rows, -1, { keepDims: true })),
  );
}
