/** Forest attention: causal, packed and prefix-tree attention are one kernel. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp, LowerContext, Operand, Slot } from "../graph/kernel.ts";
import type { Layout } from "../tensor/layout.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeNode, makeTensor, type Node, Tensor } from "../tensor/tensor.ts";
import {
  type AttentionKernel,
  type AttentionOperand,
  type AttentionParams,
  type AttentionShape,
  chooseAttentionVariant,
  deltaKernel,
  FOREST_BLOCK,
  forestKernel,
  packAttentionParams,
  shapeRefusal,
} from "./attention-variants.ts";

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** One past the last descendant of each token [T] u32: query q sees key k iff k ≤ q < end[k]. */
  readonly end: Tensor;
  /** Depth of each token in its tree [T] u32. */
  readonly depth: Tensor;
  /** Scores are multiplied by it. Default 1/√D. */
  readonly scale?: number;
  /** Scores become c · tanh(score / c). Default: off. */
  readonly softcap?: number;
  /** A query sees keys less than this many tokens above it. Default: all. */
  readonly window?: number;
}

interface Attributes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly softcap: number;
  readonly window: number;
  /** q, k and v are columns of one matrix [T, (H + 2·Hkv)·D]: one input, one gradient. */
  readonly isPacked: boolean;
}

/** Token stride free, heads of a token contiguous, both in steps of 4: what the kernels read in place. */
function takesHeads({ shape, strides, offset }: Layout): boolean {
  const [tokenStride = 0, headStride] = strides;
  const isRow = shape.length === 2 || headStride === shape[2] || shape[1] === 1;
  return isRow && strides.at(-1) === 1 && tokenStride % 4 === 0 && offset % 4 === 0;
}

function placeOf(operand: Operand): AttentionOperand {
  return { offset: operand.layout.offset, stride: operand.layout.strides[0] ?? 0 };
}

/** The operands q, k, v of a node: three inputs, or three column ranges of one. */
function sources(
  context: LowerContext,
  a: Attributes,
): { slots: Slot[]; q: AttentionOperand; k: AttentionOperand; v: AttentionOperand } {
  if (!a.isPacked) {
    const [q, k, v] = [context.input(0), context.input(1), context.input(2)];
    return { slots: [q.slot, k.slot, v.slot], q: placeOf(q), k: placeOf(k), v: placeOf(v) };
  }
  const { slot, layout } = context.input(0);
  return { slots: [slot, slot, slot], ...columns(a, layout.offset, layout.strides[0] ?? 0) };
}

function columns(
  a: Attributes,
  offset: number,
  stride: number,
): Record<"q" | "k" | "v", AttentionOperand> {
  const [queries, keys] = [a.heads * a.headDim, a.kvHeads * a.headDim];
  return {
    q: { offset, stride },
    k: { offset: offset + queries, stride },
    v: { offset: offset + queries + keys, stride },
  };
}

function inputCount(a: Attributes): number {
  return a.isPacked ? 1 : 3;
}

function shapeOf(a: Attributes, tokens: number): AttentionShape {
  const { heads, kvHeads, headDim } = a;
  return { tokens, heads, kvHeads, headDim, hasWindow: a.window > 0, hasSoftcap: a.softcap > 0 };
}

function paramsOf(a: Attributes, tokens: number, more: Partial<AttentionParams>): AttentionParams {
  const { heads, kvHeads, headDim, window, scale, softcap } = a;
  return { tokens, heads, kvHeads, headDim, window, scale, softcap, ...more };
}

function emit(
  context: LowerContext,
  kernel: AttentionKernel,
  a: Attributes,
  tokens: number,
  params: Partial<AttentionParams>,
  bindings: readonly Slot[],
  flops = 0,
): void {
  const facts = factsOf(context);
  const shape = shapeOf(a, tokens);
  emitDispatch(
    context,
    {
      name: kernel.file,
      entry: kernel.entry,
      options: { constants: kernel.constants(facts, shape) },
      params: new Uint32Array(packAttentionParams(paramsOf(a, tokens, params))),
      grid: kernel.grid(facts, shape),
    },
    { bindings, flops },
  );
}

function factsOf(context: LowerContext): {
  isSoftware: boolean;
  subgroupSize: number | undefined;
  workgroupStorageBytes: number;
} {
  const { isSoftware, subgroupSize, limits } = context.device;
  return { isSoftware, subgroupSize, workgroupStorageBytes: limits.maxComputeWorkgroupStorageSize };
}

const noAttributes: Attributes = {
  heads: 1,
  kvHeads: 1,
  headDim: 8,
  scale: 1,
  softcap: 0,
  window: 0,
  isPacked: false,
};

/** Spans of tokens and blocks: once per batch, shared by all layers. */
const forestOp: KernelOp = {
  name: "attention_forest",
  kind: "kernel",
  lower: (context, node) => {
    const tokens = node.inputs[0]?.shape[0] ?? 0;
    const bindings = [context.input(0).slot, context.input(1).slot, context.output(0).slot];
    emit(context, forestKernel, noAttributes, tokens, {}, bindings);
  },
};

/** Outputs out [T, H, D] and lse [H, T]. */
const attentionOp: KernelOp = {
  name: "attention",
  kind: "kernel",
  takesLayout: (_input, layout) => takesHeads(layout),
  lower: (context, node) => {
    const a = node.attributes as unknown as Attributes;
    const tokens = node.outputs[0]?.shape[0] as number;
    const { slots, q, k, v } = sources(context, a);
    const out = { offset: 0, stride: a.heads * a.headDim };
    const forest = context.input(inputCount(a)).slot;
    emit(
      context,
      chooseAttentionVariant(factsOf(context), shapeOf(a, tokens)).forward,
      a,
      tokens,
      { q, k, v, out },
      [...slots, forest, context.output(0).slot, context.output(1).slot],
      2 * tokens * tokens * a.heads * a.headDim,
    );
  },
  gradient: (node, [dout]) => {
    if (!dout) return [];
    const a = node.attributes as unknown as Attributes;
    const count = inputCount(a);
    const operands = node.inputs.slice(0, count);
    const forest = node.inputs[count] as Tensor;
    const [out, lse] = [new Tensor(node, 0), new Tensor(node, 1)];
    const stats = makeTensor(deltaOp, [out, dout, lse], node.attributes, {
      shape: [...lse.shape, 2],
      dtype: "f32",
    });
    const inputs = [...operands, dout, stats, forest];
    if (a.isPacked) {
      const [qkv] = operands as [Tensor];
      const type = { shape: qkv.shape, dtype: "f32" } as const;
      return [makeTensor(packedGradientOp, inputs, node.attributes, type), undefined];
    }
    const [q, k] = operands as [Tensor, Tensor];
    const dq = makeTensor(queryGradientOp, inputs, node.attributes, {
      shape: q.shape,
      dtype: "f32",
    });
    const [tokens, kvHeads, headDim] = k.shape as [number, number, number];
    const both = makeTensor(keyValueGradientOp, inputs, node.attributes, {
      shape: [tokens, 2, kvHeads, headDim],
      dtype: "f32",
    });
    const part = (i: number): Tensor => both.slice(1, i, i + 1).reshape(k.shape);
    return [dq, part(0), part(1), undefined];
  },
};

const deltaOp: KernelOp = {
  name: "attention_delta",
  kind: "kernel",
  takesLayout: (input, layout) => input < 2 && takesHeads(layout),
  lower: (context, node) => {
    const a = node.attributes as unknown as Attributes;
    const [out, dout] = [context.input(0), context.input(1)];
    emit(
      context,
      deltaKernel,
      a,
      node.inputs[0]?.shape[0] as number,
      { out: placeOf(out), dout: placeOf(dout) },
      [out.slot, dout.slot, context.input(2).slot, context.output(0).slot],
    );
  },
};

/** Emits the gradient of the queries or of the keys and values into output 0. */
function emitGradient(
  context: LowerContext,
  node: Node,
  part: "dquery" | "dkeyvalue",
  to: Partial<AttentionParams>,
): void {
  const a = node.attributes as unknown as Attributes;
  const { slots, q, k, v } = sources(context, a);
  const first = inputCount(a);
  const dout = context.input(first);
  const tokens = node.inputs[first]?.shape[0] as number;
  const [stats, forest] = [context.input(first + 1).slot, context.input(first + 2).slot];
  emit(
    context,
    chooseAttentionVariant(factsOf(context), shapeOf(a, tokens))[part],
    a,
    tokens,
    { q, k, v, dout: placeOf(dout), ...to },
    [...slots, dout.slot, stats, forest, context.output(0).slot],
    (part === "dquery" ? 3 : 4) * tokens * tokens * a.heads * a.headDim,
  );
}

const queryGradientOp: KernelOp = {
  name: "attention_dquery",
  kind: "kernel",
  takesLayout: (_input, layout) => takesHeads(layout),
  lower: (context, node) => {
    const a = node.attributes as unknown as Attributes;
    emitGradient(context, node, "dquery", { dq: { offset: 0, stride: a.heads * a.headDim } });
  },
};

/** Output [T, 2, Hkv, D]: keys, then values of a token. */
const keyValueGradientOp: KernelOp = {
  name: "attention_dkeyvalue",
  kind: "kernel",
  takesLayout: (_input, layout) => takesHeads(layout),
  lower: (context, node) => {
    const a = node.attributes as unknown as Attributes;
    const width = a.kvHeads * a.headDim;
    emitGradient(context, node, "dkeyvalue", {
      dk: { offset: 0, stride: 2 * width },
      dv: { offset: width, stride: 2 * width },
    });
  },
};

/** Output [T, (H + 2·Hkv)·D]: all three gradients in the columns of their operands. */
const packedGradientOp: KernelOp = {
  name: "attention_gradient",
  kind: "kernel",
  takesLayout: (input, layout) => input < 2 && takesHeads(layout),
  lower: (context, node) => {
    const a = node.attributes as unknown as Attributes;
    const width = (a.heads + 2 * a.kvHeads) * a.headDim;
    const { q, k, v } = columns(a, 0, width);
    emitGradient(context, node, "dquery", { dq: q });
    emitGradient(context, node, "dkeyvalue", { dk: k, dv: v });
  },
};

function build(
  operands: readonly Tensor[],
  tokens: number,
  a: Attributes,
  options: AttentionOptions,
): Tensor {
  const refusal = shapeRefusal(shapeOf(a, tokens));
  const hasSpans = options.end.size === tokens && options.depth.size === tokens;
  if (refusal !== undefined || !hasSpans) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "attention: the operands do not fit together.",
      got: `${operands.map((t) => formatShape(t.shape)).join(" · ")}, end ${formatShape(options.end.shape)}, depth ${formatShape(options.depth.shape)}`,
      why: refusal ?? `end and depth need one entry for each of ${tokens} tokens`,
      fix: "pass q [T, H, D], k and v [T, Hkv, D], end and depth [T]",
    });
  }
  const blocks = Math.ceil(tokens / FOREST_BLOCK);
  const forest = makeTensor(
    forestOp,
    [options.end, options.depth],
    {},
    { shape: [tokens + 2 * blocks, 2], dtype: "u32" },
  );
  const node = makeNode(attentionOp, [...operands, forest], { ...a }, [
    { shape: [tokens, a.heads, a.headDim], dtype: "f32" },
    { shape: [a.heads, tokens], dtype: "f32" },
  ]);
  return new Tensor(node, 0);
}

/**
 * Attention over a forest of tokens in depth-first pre-order: query q sees key k iff k ≤ q < end[k].
 *
 * A causal sequence is a chain (end[k] = T), packed sequences are several chains, merged prefixes are trees. Memory is
 * O(T): no T×T matrix exists, forward or backward.
 *
 * Shapes    q [T, H, D], k and v [T, Hkv, D] f32, H a multiple of Hkv, D a multiple of 4 from 8 to 256 → [T, H, D].
 * Errors    `shape_mismatch`.
 * Kernel    shaders/attention-*.wgsl         Source  Dao 2023, arXiv:2307.08691
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const [tokens, heads, headDim] = q.shape as [number, number, number];
  const kvHeads = k.shape[1] as number;
  const fits =
    q.rank === 3 &&
    k.rank === 3 &&
    k.shape.join() === v.shape.join() &&
    k.shape[0] === tokens &&
    k.shape[2] === headDim;
  if (!fits) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "attention: q, k and v do not fit together.",
      got: [q, k, v].map((t) => formatShape(t.shape)).join(" · "),
      fix: "pass q [T, H, D], k and v [T, Hkv, D]",
    });
  }
  return build(
    [q, k, v],
    tokens,
    attributesOf({ heads, kvHeads, headDim }, options, false),
    options,
  );
}

/** How the columns of a packed matrix are shared out. */
export interface PackedHeads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** {@link attention} of columns q, k, v of one matrix [T, (H + 2·Hkv)·D], read and differentiated in place → [T, H, D]. */
export function packedAttention(
  qkv: Tensor,
  layout: PackedHeads,
  options: AttentionOptions,
): Tensor {
  const width = (layout.heads + 2 * layout.kvHeads) * layout.headDim;
  if (qkv.rank !== 2 || qkv.shape[1] !== width) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "packedAttention: the matrix does not hold the heads.",
      got: formatShape(qkv.shape),
      why: `${layout.heads} + 2·${layout.kvHeads} heads of ${layout.headDim} are ${width} columns`,
      fix: "check the output size of the projection",
    });
  }
  return build([qkv], qkv.shape[0] as number, attributesOf(layout, options, true), options);
}

function attributesOf(
  layout: PackedHeads,
  options: AttentionOptions,
  isPacked: boolean,
): Attributes {
  const { heads, kvHeads, headDim } = layout;
  const { scale = 1 / Math.sqrt(headDim), softcap = 0, window = 0 } = options;
  return { heads, kvHeads, headDim, scale, softcap, window, isPacked };
}
