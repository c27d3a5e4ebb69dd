/** Softmax, its logarithm, and log-sum-exp over an axis. */
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { makeTensor, Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import type { ReduceOptions } from "./reduce.ts";
import { chooseRow } from "./row-variants.ts";
import { inputRows, mapAxis, reduceAxis, takesRows } from "./rows.ts";
import {
  LOG_SUM_EXP,
  LOG_SUM_EXP_BACKWARD,
  SOFTMAX,
  SOFTMAX_BACKWARD,
} from "./softmax-variants.ts";

/** Input x. Attributes: isLog. */
const softmaxOp: KernelOp = {
  name: "softmax",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const call = { ...inputRows(context, node), isLog: isLogOf(node) };
    if (call.rows * call.cols === 0) return;
    const { slot } = context.input(0);
    emitDispatch(context, chooseRow(SOFTMAX, context.device, call), {
      bindings: [slot, slot, context.output(0).slot],
      flops: 5 * call.rows * call.cols,
    });
  },
  gradient: (node, [dy]) => {
    const y = new Tensor(node, 0);
    const type = { shape: y.shape, dtype: "f32" } as const;
    return [dy && makeTensor(softmaxBackwardOp, [y, dy], node.attributes, type)];
  },
};

function isLogOf(node: { readonly attributes: Readonly<Record<string, unknown>> }): boolean {
  return node.attributes["isLog"] as boolean;
}

/** Inputs y, dy. Attributes: isLog. */
const softmaxBackwardOp: KernelOp = {
  name: "softmax_gradient",
  kind: "kernel",
  lower: (context, node) => {
    const call = { ...inputRows(context, node), isLog: isLogOf(node) };
    if (call.rows * call.cols === 0) return;
    emitDispatch(context, chooseRow(SOFTMAX_BACKWARD, context.device, call), {
      bindings: [context.input(0).slot, context.input(1).slot, context.output(0).slot],
      flops: 4 * call.rows * call.cols,
    });
  },
};

/** Input x [..., C]. Output [...]. */
const logSumExpOp: KernelOp = {
  name: "log_sum_exp",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const call = inputRows(context, node);
    if (call.rows * call.cols === 0) return;
    const { slot } = context.input(0);
    emitDispatch(context, chooseRow(LOG_SUM_EXP, context.device, call), {
      bindings: [slot, slot, context.output(0).slot],
      flops: 4 * call.rows * call.cols,
    });
  },
  gradient: (node, [dlse]) => {
    const [x] = node.inputs as readonly [Tensor];
    const type = { shape: x.shape, dtype: "f32" } as const;
    return [dlse && makeTensor(logSumExpBackwardOp, [x, dlse], {}, type)];
  },
};

/** Inputs x, dlse. */
const logSumExpBackwardOp: KernelOp = {
  name: "log_sum_exp_gradient",
  kind: "kernel",
  takesLayout: (input, layout) => input === 0 && takesRows(layout),
  lower: (context, node) => {
    const call = inputRows(context, node);
    if (call.rows * call.cols === 0) return;
    const { slot } = context.input(0);
    emitDispatch(context, chooseRow(LOG_SUM_EXP_BACKWARD, context.device, call), {
      bindings: [slot, context.input(1).slot, context.output(0).slot],
      flops: 5 * call.rows * call.cols,
    });
  },
};

/**
 * Softmax over an axis: y = exp(x) / Σ exp(x), by the maximum subtracted first. Masks are −1e30, not −Infinity.
 *
 * Shapes    x [..., C] → [..., C] f32; along another axis than the last, x is transposed by a copy first.
 * Gradient  dx = y · (dy − Σ dy·y).
 * Errors    `rank_mismatch`.
 * Kernel    shaders/softmax.wgsl             Source  Milakov & Gimelshein 2018, arXiv:1805.02867
 */
export function softmax(x: Tensor, axis = -1): Tensor {
  return mapAxis("softmax", x, axis, (rows) => rowSoftmax(rows, false));
}

/** Logarithm of {@link softmax}: y = x − logSumExp(x). Gradient: dx = dy − exp(y) · Σ dy. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return mapAxis("logSoftmax", x, axis, (rows) => rowSoftmax(rows, true));
}

function rowSoftmax(x: Tensor, isLog: boolean): Tensor {
  return makeTensor(softmaxOp, [cast(x, "f32")], { isLog }, { shape: x.shape, dtype: "f32" });
}

/**
 * Logarithm of the sum of exponentials over an axis, without overflow: [..., C] → [...] f32.
 *
 * Gradient  dx = dy · softmax(x).
 * Errors    `rank_mismatch`; `shape_mismatch` for an axis of size 0.
 * Kernel    shaders/softmax.wgsl
 */
export function logSumExp(x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor {
  return reduceAxis("logSumExp", x, axis, options, (rows) => {
    const type = { shape: rows.shape.slice(0, -1), dtype: "f32" } as const;
    return makeTensor(logSumExpOp, [cast(rows, "f32")], {}, type);
  });
}
