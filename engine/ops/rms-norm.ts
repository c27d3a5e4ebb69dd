/** Root-mean-square normalization over the last axis, with an optional residual. */
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { makeNode, makeTensor, type Node, Tensor, type TensorType } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import {
  COLUMN_SUM,
  RMS_NORM,
  RMS_NORM_BACKWARD,
  RMS_NORM_WEIGHT,
  rowBlocks,
} from "./norm-variants.ts";
import { chooseRow } from "./row-variants.ts";
import { checkNorm, operandRows, rowCount, takesRowGroups } from "./rows.ts";

interface Attributes {
  readonly eps: number;
  readonly weightOffset: number;
}

function rowsType({ shape }: Tensor): TensorType {
  return { shape, dtype: "f32" };
}

/** Inputs x, weight and maybe residual. Outputs y, rstd [rows], and the sum with a residual. */
const rmsNormOp: KernelOp = {
  name: "rms_norm",
  kind: "kernel",
  takesLayout: (input, layout) => input === 0 && takesRowGroups(layout),
  lower: (context, node) => {
    const [x, , residual] = node.inputs as readonly [Tensor, Tensor, Tensor?];
    const { eps, weightOffset } = node.attributes as unknown as Attributes;
    const [rows, cols] = [rowCount(x.shape), x.shape.at(-1) as number];
    if (x.size === 0) return;
    const at = context.input(0);
    const withResidual = residual !== undefined;
    const call = { rows, cols, eps, weightOffset, x: operandRows(at), withResidual };
    const total = withResidual ? context.output(2) : context.scratch("unused", 4);
    emitDispatch(context, chooseRow(RMS_NORM, context.device, call), {
      bindings: [
        at.slot,
        withResidual ? context.input(2).slot : at.slot,
        context.input(1).slot,
        context.output(0).slot,
        total.slot,
        context.output(1).slot,
      ],
      flops: 4 * rows * cols,
    });
  },
  gradient: (node, [dy, , dsum]) => {
    const [x, weight, residual] = node.inputs as readonly [Tensor, Tensor, Tensor?];
    if (!dy || x.size === 0) return [dsum, undefined, dsum];
    const s = residual ? new Tensor(node, 2) : x;
    const rstd = new Tensor(node, 1);
    const inputs = [dy, s, weight, rstd, ...(dsum ? [dsum] : [])];
    const dx = makeTensor(rmsNormBackwardOp, inputs, node.attributes, rowsType(x));
    const dweight = makeTensor(rmsNormWeightOp, [dy, s, rstd], {}, rowsType(weight));
    return [dx, dweight, dx];
  },
};

/** Inputs dy, s, weight, rstd and maybe dsum. */
const rmsNormBackwardOp: KernelOp = {
  name: "rms_norm_backward",
  kind: "kernel",
  plus: (dx, other) =>
    dx.node.inputs.length === 4
      ? makeTensor(rmsNormBackwardOp, [...dx.node.inputs, other], dx.node.attributes, rowsType(dx))
      : undefined,
  takesLayout: (input, layout) => input === 1 && takesRowGroups(layout),
  lower: (context, node) => {
    const [dy, , , , dsum] = node.inputs as readonly Tensor[];
    const { weightOffset } = node.attributes as unknown as Attributes;
    const shape = (dy as Tensor).shape;
    const [rows, cols] = [rowCount(shape), shape.at(-1) as number];
    const s = context.input(1);
    const call = { rows, cols, weightOffset, s: operandRows(s), withDsum: dsum !== undefined };
    emitDispatch(context, chooseRow(RMS_NORM_BACKWARD, context.device, call), {
      bindings: [
        context.input(0).slot,
        s.slot,
        context.input(2).slot,
        context.input(3).slot,
        context.input(dsum ? 4 : 0).slot,
        context.output(0).slot,
      ],
      flops: 10 * rows * cols,
    });
  },
};

/** Inputs dy, s, rstd. Output dweight [C]. */
const rmsNormWeightOp: KernelOp = {
  name: "rms_norm_weight_gradient",
  kind: "kernel",
  takesLayout: (input, layout) => input === 1 && takesRowGroups(layout),
  lower: (context, node) => {
    const [dy] = node.inputs as readonly [Tensor];
    const [rows, cols] = [rowCount(dy.shape), dy.shape.at(-1) as number];
    const blocks = rowBlocks(context.device, rows);
    const s = context.input(1);
    const call = { rows, cols, s: operandRows(s), blocks };
    const partials =
      blocks > 1 ? context.scratch("norm partials", blocks * cols) : context.output(0);
    emitDispatch(context, chooseRow(RMS_NORM_WEIGHT, context.device, call), {
      bindings: [context.input(0).slot, s.slot, context.input(2).slot, partials.slot],
      flops: 3 * rows * cols,
    });
    if (blocks === 1) return;
    emitDispatch(context, chooseRow(COLUMN_SUM, context.device, { rows: blocks, cols }), {
      bindings: [partials.slot, context.output(0).slot],
      flops: blocks * cols,
    });
  },
};

/** Options of {@link rmsNorm}. */
export interface RmsNormOptions {
  /** Added inside the root. Default 1e-5. */
  readonly eps?: number;
  /** Added to the weight: 1 for Gemma, whose weights are stored as differences from 1. Default 0. */
  readonly weightOffset?: number;
}

/**
 * Root-mean-square normalization of the last axis: y = x / √(mean(x²) + eps) · (weight + weightOffset).
 *
 * Shapes    x [..., C], weight [C] → [..., C] f32. Heads of a packed projection are read in place.
 * Gradient  u = x · rstd, g = dy · (weight + weightOffset): dx = rstd · (g − u · mean(g·u)), dweight = Σ dy·u.
 * Errors    `shape_mismatch`; `rank_mismatch` for a scalar.
 * Kernel    shaders/rms-norm*.wgsl           Source  Zhang & Sennrich 2019, arXiv:1910.07467
 */
export function rmsNorm(x: Tensor, weight: Tensor, options: RmsNormOptions = {}): Tensor {
  return new Tensor(normalize(x, weight, options, undefined), 0);
}

/** {@link rmsNorm} of `x + residual`; returns the normalized rows and the sum. */
export function addRmsNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  options: RmsNormOptions = {},
): [y: Tensor, sum: Tensor] {
  const node = normalize(x, weight, options, residual);
  return [new Tensor(node, 0), new Tensor(node, 2)];
}

function normalize(
  x: Tensor,
  weight: Tensor,
  { eps = 1e-5, weightOffset = 0 }: RmsNormOptions,
  residual: Tensor | undefined,
): Node {
  checkNorm("rmsNorm", x, { residual, vectors: [weight] });
  const inputs = [x, weight, ...(residual ? [residual] : [])];
  const type = rowsType(x);
  return makeNode(
    rmsNormOp,
    inputs.map((t) => cast(t, "f32")),
    { eps, weightOffset },
    [type, { shape: [rowCount(x.shape)], dtype: "f32" }, ...(residual ? [type] : [])],
  );
}
