/** Cross-entropy of whole logits; `lmHead` is its form that never holds them. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeNode, makeTensor, Tensor, type TensorType } from "../tensor/tensor.ts";
import { bitcast, cast, div, less, maximum, neg } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import { crossEntropyBackward, lmHeadForward } from "./lm-head-variants.ts";
import { sum } from "./reduce.ts";

function sizesOf(logits: Tensor): { readonly rows: number; readonly cols: number } {
  const [rows, cols] = logits.shape as readonly [number, number];
  return { rows, cols };
}

/** Inputs logits, labels. Outputs logprob, lse, entropy, each [N]; only the first has a gradient. */
const labelLogProbOp: KernelOp = {
  name: "label_log_prob",
  kind: "kernel",
  lower: (context, node) => {
    const sizes = sizesOf(node.inputs[0] as Tensor);
    if (sizes.rows === 0) return;
    emitDispatch(context, lmHeadForward(context.device, sizes), {
      bindings: [0, 1]
        .map((i) => context.input(i).slot)
        .concat([0, 1, 2].map((o) => context.output(o).slot)),
      flops: 6 * sizes.rows * sizes.cols,
    });
  },
  gradient: (node, [dlogprob]) => {
    const [logits, labels] = node.inputs as readonly [Tensor, Tensor];
    if (!dlogprob) return [];
    const inputs = [logits, labels, new Tensor(node, 1), dlogprob];
    const type: TensorType = { shape: logits.shape, dtype: "f32" };
    return [makeTensor(crossEntropyGradientOp, inputs, {}, type), undefined];
  },
};

/** Inputs logits, labels, lse, dlogprob. */
const crossEntropyGradientOp: KernelOp = {
  name: "cross_entropy_gradient",
  kind: "kernel",
  lower: (context, node) => {
    const sizes = sizesOf(node.inputs[0] as Tensor);
    if (sizes.rows === 0) return;
    emitDispatch(context, crossEntropyBackward(context.device, sizes), {
      bindings: [...[0, 1, 2, 3].map((i) => context.input(i).slot), context.output(0).slot],
      flops: 4 * sizes.rows * sizes.cols,
    });
  },
};

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions {
  /** Over the rows that have a label: their mean, their sum, or each for itself [N]. Default "mean". */
  readonly reduction?: "mean" | "sum" | "none";
}

/**
 * Negative log-probability of labels under softmax(logits), in nats.
 *
 * A label ≥ V (a negative i32, such as −1 or −100, too) means "none": its row adds 0, gets no gradient and does not count
 * in the mean; without any label the loss is 0.
 *
 * Shapes    logits [N, V], labels [N] u32 or i32 → a scalar, or [N].
 * Gradient  dlogits = dy · (softmax(logits) − onehot(labels)) in rows with a label.
 * Errors    `shape_mismatch`; `dtype_mismatch`.
 * Kernel    shaders/lm-head.wgsl, shaders/cross-entropy.wgsl
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
  { reduction = "mean" }: CrossEntropyOptions = {},
): Tensor {
  const [rows, vocab] = logits.shape;
  if (logits.rank !== 2 || labels.rank !== 1 || labels.size !== rows || !vocab) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "crossEntropy: logits and labels do not fit together.",
      got: `${formatShape(logits.shape)} · ${formatShape(labels.shape)}`,
      fix: "pass logits [N, V] and labels [N]",
    });
  }
  const ids = asIndices("crossEntropy", "labels", labels);
  const row: TensorType = { shape: [rows as number], dtype: "f32" };
  const node = makeNode(labelLogProbOp, [cast(logits, "f32"), ids], {}, [row, row, row]);
  const losses = neg(new Tensor(node, 0));
  if (reduction === "none") return losses;
  if (reduction === "sum") return sum(losses);
  const count = cast(sum(less(bitcast(ids, "u32"), vocab)), "f32");
  return div(sum(losses), maximum(count, 1));
}
