/** Running sums along an axis. */
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { makeTensor, type Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { chooseRow } from "./row-variants.ts";
import { inputRows, mapAxis, takesRows } from "./rows.ts";
import { CUMULATIVE_SUM } from "./scan-variants.ts";

/** Input x. Attributes: isReversed. */
const cumulativeSumOp: KernelOp = {
  name: "cumulative_sum",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const isReversed = node.attributes["isReversed"] as boolean;
    const call = { ...inputRows(context, node), isReversed };
    if (call.rows * call.cols === 0) return;
    emitDispatch(context, chooseRow(CUMULATIVE_SUM, context.device, call), {
      bindings: [context.input(0).slot, context.output(0).slot],
      flops: call.rows * call.cols,
    });
  },
  gradient: (node, [dy]) => [dy && rowSums(dy, !node.attributes["isReversed"])],
};

function rowSums(x: Tensor, isReversed: boolean): Tensor {
  return makeTensor(cumulativeSumOp, [x], { isReversed }, { shape: x.shape, dtype: "f32" });
}

/** Options of {@link cumulativeSum}. */
export interface CumulativeSumOptions {
  /** Sums from the end: y[i] = Σ x[j] over j ≥ i. Default false. */
  readonly isReversed?: boolean;
}

/**
 * Running sums along an axis: y[i] = Σ x[j] over j ≤ i, in f32 and in a fixed order.
 *
 * Shapes    x [..., C] → [..., C] f32; along another axis than the last, x is transposed by a copy first.
 * Gradient  dx is the running sum of dy from the other end.
 * Errors    `rank_mismatch`.
 * Kernel    shaders/cumulative-sum.wgsl
 */
export function cumulativeSum(
  x: Tensor,
  axis = -1,
  { isReversed = false }: CumulativeSumOptions = {},
): Tensor {
  return mapAxis("cumulativeSum", x, axis, (rows) => rowSums(cast(rows, "f32"), isReversed));
}
