/** Layer normalization over the last axis, with an optional residual. */
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { makeNode, makeTensor, type Node, Tensor, type TensorType } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import {
  COLUMN_SUM,
  LAYER_NORM,
  LAYER_NORM_BACKWARD,
  LAYER_NORM_WEIGHT,
  rowBlocks,
} from "./norm-variants.ts";
import { chooseRow } from "./row-variants.ts";
import { checkNorm, operandRows, rowCount, takesRowGroups } from "./rows.ts";

/** Inputs x, weight, then bias and residual where the attributes say so. Outputs y, stats, and the sum with a residual. */
const layerNormOp: KernelOp = {
  name: "layer_norm",
  kind: "kernel",
  takesLayout: (input, layout) => input === 0 && takesRowGroups(layout),
  lower: (context, node) => {
    const [x] = node.inputs as readonly [Tensor];
    const { eps, hasBias, hasResidual } = node.attributes as {
      eps: number;
      hasBias: boolean;
      hasResidual: boolean;
    };
    const cols = x.shape.at(-1) as number;
    const rows = rowCount(x.shape);
    if (x.size === 0) return;
    const at = context.input(0);
    const call = {
      rows,
      cols,
      eps,
      x: operandRows(at),
      withBias: hasBias,
      withResidual: hasResidual,
    };
    const bias = hasBias ? context.input(2).slot : context.input(1).slot;
    const residual = hasResidual ? context.input(node.inputs.length - 1).slot : at.slot;
    const total = hasResidual ? context.output(2) : context.scratch("unused", 4);
    emitDispatch(context, chooseRow(LAYER_NORM, context.device, call), {
      bindings: [
        at.slot,
        residual,
        context.input(1).slot,
        bias,
        context.output(0).slot,
        total.slot,
        context.output(1).slot,
      ],
      flops: 8 * rows * cols,
    });
  },
  gradient: (node, [dy, , dsum]) => {
    const { hasBias, hasResidual } = node.attributes as { hasBias: boolean; hasResidual: boolean };
    const [x, weight] = node.inputs as readonly [Tensor, Tensor];
    const s = hasResidual ? new Tensor(node, 2) : x;
    const stats = new Tensor(node, 1);
    if (!dy || x.size === 0)
      return hasResidual ? [dsum, undefined, ...(hasBias ? [undefined] : []), dsum] : [];
    const inputs = dsum ? [dy, s, weight, stats, dsum] : [dy, s, weight, stats];
    const dx = makeTensor(layerNormBackwardOp, inputs, {}, { shape: x.shape, dtype: "f32" });
    const type: TensorType = { shape: weight.shape, dtype: "f32" };
    const sums = makeNode(layerNormWeightOp, [dy, s, stats], {}, [type, type]);
    const [dweight, dbias] = [new Tensor(sums, 0), new Tensor(sums, 1)];
    return [dx, dweight, ...(hasBias ? [dbias] : []), ...(hasResidual ? [dx] : [])];
  },
};

const layerNormBackwardOp: KernelOp = {
  name: "layer_norm_backward",
  kind: "kernel",
  plus: (dx, other) =>
    dx.node.inputs.length === 4
      ? makeTensor(
          layerNormBackwardOp,
          [...dx.node.inputs, other],
          {},
          { shape: dx.shape, dtype: "f32" },
        )
      : undefined,
  takesLayout: (input, layout) => input === 1 && takesRowGroups(layout),
  lower: (context, node) => {
    const [dy] = node.inputs as readonly [Tensor];
    if (dy.size === 0) return;
    const withDsum = node.inputs.length > 4;
    const [rows, cols] = [rowCount(dy.shape), dy.shape.at(-1) as number];
    const s = context.input(1);
    const dsum = withDsum ? context.input(4).slot : context.input(0).slot;
    emitDispatch(
      context,
      chooseRow(LAYER_NORM_BACKWARD, context.device, { rows, cols, s: operandRows(s), withDsum }),
      {
        bindings: [
          context.input(0).slot,
          s.slot,
          context.input(2).slot,
          context.input(3).slot,
          dsum,
          context.output(0).slot,
        ],
        flops: 12 * rows * cols,
      },
    );
  },
};

/** Outputs dweight and dbias, each [C]. */
const layerNormWeightOp: KernelOp = {
  name: "layer_norm_weight_gradient",
  kind: "kernel",
  takesLayout: (input, layout) => input === 1 && takesRowGroups(layout),
  lower: (context, node) => {
    const [dy] = node.inputs as readonly [Tensor];
    const [rows, cols] = [rowCount(dy.shape), dy.shape.at(-1) as number];
    const blocks = rowBlocks(context.device, rows);
    const s = context.input(1);
    const partials = context.scratch("norm partials", blocks * 2 * cols);
    emitDispatch(
      context,
      chooseRow(LAYER_NORM_WEIGHT, context.device, { rows, cols, s: operandRows(s), blocks }),
      {
        bindings: [context.input(0).slot, s.slot, context.input(2).slot, partials.slot],
        flops: 4 * rows * cols,
      },
    );
    for (const output of [0, 1]) {
      if (!context.isUsed(output)) continue;
      const call = { rows: blocks, cols, stride: 2 * cols, offset: output * cols };
      const total = chooseRow(COLUMN_SUM, context.device, call);
      emitDispatch(context, total, {
        bindings: [partials.slot, context.output(output).slot],
        flops: blocks * cols,
      });
    }
  },
};

/** Options of {@link layerNorm}. */
export interface LayerNormOptions {
  /** Shift after the scale, [C]. */
  readonly bias?: Tensor;
  /** Added inside the root. Default 1e-5. */
  readonly eps?: number;
}

/**
 * Layer normalization of the last axis: y = (x − mean) / √(var + eps) · weight (+ bias).
 *
 * Shapes    x [..., C], weight and bias [C] → [..., C].
 * Gradient  u = (x − mean) · rstd, g = dy · weight: dx = rstd · (g − mean(g) − u · mean(g·u)), dweight = Σ dy·u,
 *           dbias = Σ dy.
 * Errors    `shape_mismatch`; `rank_mismatch` for a scalar.
 * Kernel    shaders/layer-norm*.wgsl         Source  Ba, Kiros & Hinton 2016, arXiv:1607.06450
 */
export function layerNorm(x: Tensor, weight: Tensor, options: LayerNormOptions = {}): Tensor {
  return new Tensor(normalize(x, weight, options, undefined), 0);
}

/** {@link layerNorm} of `x + residual`; returns the normalized rows and the sum. */
export function addLayerNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  options: LayerNormOptions = {},
): [y: Tensor, sum: Tensor] {
  const node = normalize(x, weight, options, residual);
  return [new Tensor(node, 0), new Tensor(node, 2)];
}

function normalize(
  x: Tensor,
  weight: Tensor,
  { bias, eps = 1e-5 }: LayerNormOptions,
  residual: Tensor | undefined,
): Node {
  checkNorm("layerNorm", x, { residual, vectors: [weight, ...(bias ? [bias] : [])] });
  const inputs = [x, weight, ...(bias ? [bias] : []), ...(residual ? [residual] : [])];
  const type: TensorType = { shape: x.shape, dtype: "f32" };
  return makeNode(
    layerNormOp,
    inputs.map((t) => cast(t, "f32")),
    { eps, hasBias: bias !== undefined, hasResidual: residual !== undefined },
    [type, { shape: [rowCount(x.shape), 2], dtype: "f32" }, ...(residual ? [type] : [])],
  );
}
