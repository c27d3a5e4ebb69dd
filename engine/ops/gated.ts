/** Gated activations: an activation of one half of a layer's outputs times the other half. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp, Operand, Slot } from "../graph/kernel.ts";
import { formatShape, normalizeAxis, sameShape } from "../tensor/shape.ts";
import { makeTensor, type Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { GATED, GATED_BACKWARD, type GatedActivation, type GatedCall } from "./gated-variants.ts";
import { chooseRow } from "./row-variants.ts";
import { operandRows, rowCount, takesRows } from "./rows.ts";
import { reshape, slice } from "./view.ts";

interface Attributes {
  readonly activation: GatedActivation;
}

interface Sides {
  readonly slots: readonly [Slot, Slot];
  readonly places: Pick<GatedCall, "gateOffset" | "gateStride" | "upOffset" | "upStride">;
}

/** Where gate and up lie: two operands, or (without `up`) the halves of the rows of one. `cols` is the width of a half. */
function sidesOf(gate: Operand, up: Operand | undefined, cols: number): Sides {
  const first = operandRows(gate);
  const second = up ? operandRows(up) : { ...first, offset: first.offset + cols };
  return {
    slots: [gate.slot, (up ?? gate).slot],
    places: {
      gateOffset: first.offset,
      gateStride: first.stride,
      upOffset: second.offset,
      upStride: second.stride,
    },
  };
}

/** Inputs gate and up, or one that holds both. */
const gatedOp: KernelOp = {
  name: "gated",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const { activation } = node.attributes as unknown as Attributes;
    const shape = node.outputs[0]?.shape ?? [];
    const [rows, cols] = [rowCount(shape), shape.at(-1) as number];
    if (rows * cols === 0) return;
    const up = node.inputs[1] && context.input(1);
    const { slots, places } = sidesOf(context.input(0), up, cols);
    const call = { activation, rows, cols, ...places };
    emitDispatch(context, chooseRow(GATED, context.device, call), {
      bindings: [...slots, slots[0], context.output(0).slot],
      flops: 6 * rows * cols,
    });
  },
  gradient: (node, [dy]) => {
    const [gate, up] = node.inputs as readonly [Tensor, Tensor?];
    if (!dy) return [];
    const shape = up ? [2, ...gate.shape] : gate.shape;
    const inputs = [dy, ...node.inputs];
    const both = makeTensor(gatedBackwardOp, inputs, node.attributes, { shape, dtype: "f32" });
    if (!up) return [both];
    return [0, 1].map((i) => reshape(slice(both, 0, i, i + 1), gate.shape));
  },
};

/** Inputs dy, then those of `gated`. Output [2, ...gate.shape], or one packed like the input. */
const gatedBackwardOp: KernelOp = {
  name: "gated_gradient",
  kind: "kernel",
  takesLayout: (input, layout) => input > 0 && takesRows(layout),
  lower: (context, node) => {
    const { activation } = node.attributes as unknown as Attributes;
    const shape = node.inputs[0]?.shape ?? [];
    const [rows, cols] = [rowCount(shape), shape.at(-1) as number];
    if (rows * cols === 0) return;
    const up = node.inputs[2] && context.input(2);
    const { slots, places } = sidesOf(context.input(1), up, cols);
    const to = up
      ? { outStride: cols, dupOffset: rows * cols }
      : { outStride: 2 * cols, dupOffset: cols };
    const call = { activation, rows, cols, ...places, ...to };
    emitDispatch(context, chooseRow(GATED_BACKWARD, context.device, call), {
      bindings: [...slots, context.input(0).slot, context.output(0).slot],
      flops: 12 * rows * cols,
    });
  },
};

/** Options of {@link geglu}. */
export interface GegluOptions {
  /** GELU by tanh (as most models are trained), or exactly, by the error function. Default "tanh". */
  readonly form?: "tanh" | "exact";
}

/**
 * SwiGLU: silu(gate) · up.
 *
 * Shapes    gate, up [..., F] → [..., F] f32. Columns of a larger matrix are read in place.
 * Gradient  dgate = dy · up · silu'(gate), dup = dy · silu(gate).
 * Errors    `shape_mismatch`; `rank_mismatch` for scalars.
 * Kernel    shaders/gated.wgsl               Source  Shazeer 2020, arXiv:2002.05202, §2
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return twoSided("swiglu", "silu", gate, up);
}

/** {@link swiglu} of the halves of one matrix: [..., 2F], gate first → [..., F]. The gradient is one packed matrix too. */
export function packedSwiglu(x: Tensor): Tensor {
  return packed("packedSwiglu", "silu", x);
}

/** GEGLU: gelu(gate) · up. All else is as in {@link swiglu}. Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, §2. */
export function geglu(gate: Tensor, up: Tensor, options: GegluOptions = {}): Tensor {
  return twoSided("geglu", gelu(options), gate, up);
}

/** {@link geglu} of the halves of one matrix: [..., 2F], gate first → [..., F]. The gradient is one packed matrix too. */
export function packedGeglu(x: Tensor, options: GegluOptions = {}): Tensor {
  return packed("packedGeglu", gelu(options), x);
}

function gelu({ form = "tanh" }: GegluOptions): GatedActivation {
  return form === "exact" ? "gelu_erf" : "gelu_tanh";
}

function twoSided(op: string, activation: GatedActivation, gate: Tensor, up: Tensor): Tensor {
  normalizeAxis(op, -1, gate.rank);
  if (!sameShape(gate.shape, up.shape)) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: `${op}: gate and up differ in shape.`,
      got: `${formatShape(gate.shape)} · ${formatShape(up.shape)}`,
      fix: "make both by projections of the same width",
    });
  }
  const inputs = [cast(gate, "f32"), cast(up, "f32")];
  const type = { shape: gate.shape, dtype: "f32" } as const;
  return makeTensor(gatedOp, inputs, { activation }, type);
}

function packed(op: string, activation: GatedActivation, x: Tensor): Tensor {
  const width = x.shape[normalizeAxis(op, -1, x.rank)] as number;
  if (width % 2 !== 0) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: `${op}: the last axis has no halves.`,
      got: formatShape(x.shape),
      fix: "pass [..., 2F]: the gate, then what it gates",
    });
  }
  const type = { shape: [...x.shape.slice(0, -1), width / 2], dtype: "f32" } as const;
  return makeTensor(gatedOp, [cast(x, "f32")], { activation }, type);
}
