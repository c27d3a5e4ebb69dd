/** Rotary position embedding of the heads of queries and keys. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import type { Layout } from "../tensor/layout.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeTensor, type Tensor, tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import {
  packFrequencies,
  type RopeFrequencyOptions,
  type RopeScaling,
  ropeFrequencies,
} from "./rope-frequencies.ts";
import { ROPE } from "./rope-variants.ts";
import { chooseRow } from "./row-variants.ts";

interface Attributes {
  readonly rotarySize: number;
  readonly turnedHeads: number;
  readonly isInterleaved: boolean;
  readonly isBackward: boolean;
  readonly scale: number;
}

/** Tokens any distance apart, heads of a token contiguous. */
function takesHeads({ shape, strides }: Layout): boolean {
  const [, heads, headSize] = shape;
  return strides[2] === 1 && (heads === 1 || strides[1] === headSize);
}

/** Inputs x, positions, frequencies. */
const ropeOp: KernelOp = {
  name: "rope",
  kind: "kernel",
  takesLayout: (input, layout) => input === 0 && takesHeads(layout),
  lower: (context, node) => {
    const [x] = node.inputs as readonly [Tensor];
    const [tokens, heads, headSize] = x.shape as readonly [number, number, number];
    if (x.size === 0) return;
    const { slot, layout } = context.input(0);
    const place = { offset: layout.offset, stride: layout.strides[0] as number };
    const call = { ...(node.attributes as unknown as Attributes), tokens, heads, headSize };
    emitDispatch(context, chooseRow(ROPE, context.device, { ...call, ...place }), {
      bindings: [slot, context.input(1).slot, context.input(2).slot, context.output(0).slot],
      flops: 6 * x.size,
    });
  },
  gradient: (node, [dy]) => {
    const [x, positions, frequencies] = node.inputs as readonly [Tensor, Tensor, Tensor];
    const { isBackward } = node.attributes as unknown as Attributes;
    const attributes = { ...node.attributes, isBackward: !isBackward };
    const inputs = dy && [dy, positions, frequencies];
    return [inputs && makeTensor(ropeOp, inputs, attributes, { shape: x.shape, dtype: "f32" })];
  },
};

/** Options of {@link rope}. */
export interface RopeOptions {
  /** Base of the frequencies. Default 10,000. */
  readonly theta?: number;
  /** Numbers of a head that are rotated, the first ones; the others are copied. Default: all. */
  readonly rotaryDim?: number;
  /** Whether pairs are neighbours (2i, 2i + 1) instead of halves (i, i + rotaryDim/2). Default false. */
  readonly isInterleaved?: boolean;
  /** How frequencies are stretched to contexts longer than those of the first training. Default: not. */
  readonly scaling?: RopeScaling;
  /** Factor on sine and cosine (attention scaling). Default 1. */
  readonly scale?: number;
  /**
   * Heads that are rotated, the first ones; the others are copied. Default: all. With H + Hkv, the heads of a packed
   * projection become what `packedAttention` reads, in one pass.
   */
  readonly heads?: number;
}

/**
 * Rotary position embedding: pair i of every head turns by position · theta^(−2i / rotaryDim), then times `scale`.
 *
 * Angles are exact at any position. Rows of a packed projection are read in place.
 *
 * Shapes    x [T, H, D], positions [T] u32 or i32 ≥ 0 → [T, H, D] f32.
 * Gradient  dx is dy turned back by the same angles, times `scale`.
 * Errors    `rank_mismatch`; `shape_mismatch`; `dtype_mismatch`; `argument_invalid` for an odd rotaryDim.
 * Kernel    shaders/rope.wgsl                Source  Su et al. 2021, arXiv:2104.09864, §3.2.2
 */
export function rope(x: Tensor, positions: Tensor, options: RopeOptions = {}): Tensor {
  const [tokens, heads, headSize] = x.shape;
  if (x.rank !== 3 || headSize === undefined || heads === undefined) {
    throw new ForgeError({
      code: "rank_mismatch",
      what: "rope: x has no heads.",
      got: formatShape(x.shape),
      fix: "reshape it to [T, H, D]",
    });
  }
  const {
    rotaryDim = headSize,
    heads: turnedHeads = heads,
    isInterleaved = false,
    scale = 1,
  } = options;
  if (positions.size !== tokens || rotaryDim > headSize || turnedHeads > heads) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "rope: the operands do not fit together.",
      got: `x ${formatShape(x.shape)} · positions ${formatShape(positions.shape)} · rotaryDim ${rotaryDim} · heads ${turnedHeads}`,
      why: "each token has one position; rotaryDim is at most D, heads at most H",
      fix: "pass positions [T], and the sizes of one head",
    });
  }
  const { theta = 10_000, scaling } = options;
  const frequencies = frequenciesOf({
    rotarySize: rotaryDim,
    theta,
    ...(scaling ? { scaling } : {}),
  });
  const attributes = {
    rotarySize: rotaryDim,
    turnedHeads,
    isInterleaved,
    isBackward: false,
    scale,
  };
  const inputs = [cast(x, "f32"), asIndices("rope", "positions", positions), frequencies];
  return makeTensor(ropeOp, inputs, attributes, { shape: x.shape, dtype: "f32" });
}

/** Tables made so far: all layers of a model share one, so that a plan holds it once. */
const tables = new Map<string, Tensor>();

function frequenciesOf(options: RopeFrequencyOptions): Tensor {
  const key = JSON.stringify(options);
  let table = tables.get(key);
  if (!table) {
    table = tensor(packFrequencies(ropeFrequencies(options)));
    tables.set(key, table);
  }
  return table;
}
