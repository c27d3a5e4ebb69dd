/** Attention over a static cache of keys and values: prefill in chunks and decoding, many sequences at once. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp, LowerContext, Slot } from "../graph/kernel.ts";
import type { Layout } from "../tensor/layout.ts";
import { formatShape } from "../tensor/shape.ts";
import { activeTrace, type State } from "../tensor/state.ts";
import { makeTensor, type Node, type Tensor } from "../tensor/tensor.ts";
import type { PackedHeads } from "./attention.ts";
import { shapeRefusal } from "./attention-variants.ts";
import {
  type CacheAttentionCall,
  cacheCopy,
  cacheWrite,
  chooseCacheAttention,
} from "./cache-variants.ts";
import { cast } from "./elementwise.ts";
import { asIndices } from "./indices.ts";

/** Where each of N rows (tokens of any sequences, in any order) lies in a cache. */
export interface CacheRows {
  /** [N] u32; from S on: no place, so nothing is written and the result is zeros. */
  readonly slots: Tensor;
  /** [N] u32; from T on: likewise. */
  readonly positions: Tensor;
}

/** Options of {@link cacheAttention}. */
export interface CacheAttentionOptions {
  /** Scores are multiplied by it. Default 1/√D. */
  readonly scale?: number;
  /** Scores become c · tanh(score / c). Default: off. */
  readonly softcap?: number;
  /** A row sees positions less than this many before its own. Default: all. */
  readonly window?: number;
}

interface Attributes extends PackedHeads {
  readonly scale: number;
  readonly softcap: number;
  readonly window: number;
}

function takesRows(input: number, { strides, offset }: Layout): boolean {
  return input === 0 && strides[1] === 1 && (strides[0] ?? 0) % 4 === 0 && offset % 4 === 0;
}

/** Inputs qkv, slots, positions, cache. */
function callOf(context: LowerContext, node: Node): CacheAttentionCall {
  const a = node.attributes as unknown as Attributes;
  const cache = node.inputs[3] as Tensor;
  const [slots, positions] = cache.shape as [number, number, number];
  const { layout } = context.input(0);
  return {
    ...a,
    ...{ slots, positions, dtype: cache.dtype, rows: layout.shape[0] as number },
    qkvOffset: layout.offset,
    qkvStride: layout.strides[0] as number,
  };
}

/** Output: the cache, in place. */
const writeOp: KernelOp = {
  name: "cache_write",
  kind: "kernel",
  updates: { 0: 3 },
  takesLayout: takesRows,
  lower: (context, node) => {
    const call = callOf(context, node);
    if (call.rows === 0) return;
    emitDispatch(context, cacheWrite(call), {
      bindings: [...[0, 1, 2].map((i) => context.input(i).slot), context.output(0).slot],
    });
  },
};

/** Output [N, H, D]. */
const attentionOp: KernelOp = {
  name: "cache_attention",
  kind: "kernel",
  takesLayout: takesRows,
  lower: (context, node) => {
    const call = callOf(context, node);
    if (call.rows === 0) return;
    const { attend, combine } = chooseCacheAttention(context.device).plan(context.device, call);
    const [qkv, slots, positions, cache] = [0, 1, 2, 3].map((i) => context.input(i).slot) as [
      Slot,
      Slot,
      Slot,
      Slot,
    ];
    const out = context.output(0).slot;
    const parts = combine ? context.scratch("cache attention parts", combine.elements).slot : out;
    emitDispatch(context, attend, {
      bindings: [qkv, slots, positions, cache, parts],
      // At most: lengths are data.
      flops: 4 * call.rows * call.positions * call.heads * call.headDim,
    });
    if (!combine) return;
    emitDispatch(context, combine.dispatch, { bindings: [parts, slots, positions, out] });
  },
};

/** Inputs cache, from, to, lengths. Output: the cache, in place. */
const copyOp: KernelOp = {
  name: "cache_copy",
  kind: "kernel",
  updates: { 0: 0 },
  lower: (context, node) => {
    const [cache, from] = node.inputs as readonly [Tensor, Tensor];
    const [slots, positions, width] = cache.shape as [number, number, number];
    if (from.size === 0) return;
    emitDispatch(context, cacheCopy({ slots, positions, width, dtype: cache.dtype }, from.size), {
      bindings: [...[1, 2, 3].map((i) => context.input(i).slot), context.output(0).slot],
    });
  },
};

/**
 * Writes the keys and values of rows into a cache; then each row attends to what its slot holds up to its own position.
 *
 * All writes come first, so rows of one sequence see each other by position: a chunk of a prompt and a single decoded
 * token are the same thing. What a row gets does not depend, bit for bit, on the other rows, their number, or its slot;
 * the work depends on the positions that rows see, not on T. Two rows must not have the same place.
 *
 * Shapes    qkv [N, (H + 2·Hkv)·D] f32 (columns q, k, v); cache [S, T, 2·Hkv·D] f32 or f16: keys then values of slot s at
 *           position t; H a multiple of Hkv, D a multiple of 4 from 8 to 256 → [N, H, D] f32.
 * Gradient  none.
 * Errors    `shape_mismatch`; `dtype_mismatch`; `state_conflict` outside of `compile`, or for a cache that the function has
 *           changed before.
 * Kernel    shaders/cache-write.wgsl, shaders/cache-attention*.wgsl
 */
export function cacheAttention(
  qkv: Tensor,
  cache: State,
  rows: CacheRows,
  layout: PackedHeads,
  options: CacheAttentionOptions = {},
): Tensor {
  checkShapes(qkv, cache, rows, layout);
  checkUnchanged("cacheAttention", cache);
  const { heads, kvHeads, headDim } = layout;
  const { scale = 1 / Math.sqrt(headDim), softcap = 0, window = 0 } = options;
  const attributes = { heads, kvHeads, headDim, scale, softcap, window };
  const inputs = [
    cast(qkv, "f32"),
    asIndices("cacheAttention", "slots", rows.slots),
    asIndices("cacheAttention", "positions", rows.positions),
  ];
  const type = { shape: cache.shape, dtype: cache.dtype };
  const written = makeTensor(writeOp, [...inputs, cache], attributes, type);
  cache.assign(written);
  return makeTensor(attentionOp, [...inputs, written], attributes, {
    shape: [qkv.shape[0] as number, heads, headDim],
    dtype: "f32",
  });
}

/**
 * Copies the first `lengths[p]` positions of slot `from[p]` to slot `to[p]`, for every p.
 *
 * Pairs with a slot beyond S copy nothing; lengths beyond T mean T. No `to` may occur twice or be a `from` as well.
 *
 * Shapes    cache [S, T, W] f32 or f16, W a multiple of 4; from, to, lengths [P] u32.
 * Errors    `shape_mismatch`; `dtype_mismatch`; `state_conflict` as for {@link cacheAttention}.
 * Kernel    shaders/cache-copy.wgsl
 */
export function copyCacheSlots(cache: State, from: Tensor, to: Tensor, lengths: Tensor): void {
  checkCache("copyCacheSlots", cache);
  if (from.rank !== 1 || [to, lengths].some((t) => t.shape.join() !== from.shape.join())) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "copyCacheSlots: from, to and lengths do not fit together.",
      got: [from, to, lengths].map((t) => formatShape(t.shape)).join(" · "),
      fix: "pass three vectors of one length",
    });
  }
  checkUnchanged("copyCacheSlots", cache);
  const pairs = Object.entries({ from, to, lengths }).map(([name, x]) =>
    asIndices("copyCacheSlots", name, x),
  );
  const type = { shape: cache.shape, dtype: cache.dtype };
  cache.assign(makeTensor(copyOp, [cache, ...pairs], {}, type));
}

function checkShapes(qkv: Tensor, cache: State, rows: CacheRows, layout: PackedHeads): void {
  const { heads, kvHeads, headDim } = layout;
  const count = qkv.shape[0] as number;
  const refusal = shapeRefusal({
    ...{ heads, kvHeads, headDim, tokens: 1 },
    ...{ hasWindow: false, hasSoftcap: false },
  });
  checkCache("cacheAttention", cache);
  const fits =
    qkv.rank === 2 &&
    qkv.shape[1] === (heads + 2 * kvHeads) * headDim &&
    cache.shape[2] === 2 * kvHeads * headDim &&
    [rows.slots, rows.positions].every((t) => t.rank === 1 && t.size === count);
  if (refusal === undefined && fits) return;
  const operands = { qkv, cache, slots: rows.slots, positions: rows.positions };
  throw new ForgeError({
    code: "shape_mismatch",
    what: "cacheAttention: the operands do not fit together.",
    got: Object.entries(operands)
      .map(([name, { shape }]) => `${name} ${formatShape(shape)}`)
      .join(" · "),
    why: refusal ?? `there are ${heads} query heads and ${kvHeads} key heads of ${headDim}`,
    fix: "pass qkv [N, (H + 2·Hkv)·D], cache [S, T, 2·Hkv·D], slots and positions [N]",
  });
}

function checkCache(op: string, cache: State): void {
  const isFloat = cache.dtype === "f32" || cache.dtype === "f16";
  if (isFloat && cache.rank === 3 && (cache.shape[2] as number) % 4 === 0) return;
  throw new ForgeError({
    code: isFloat ? "shape_mismatch" : "dtype_mismatch",
    what: `${op}: state "${cache.name}" is no cache.`,
    got: `${formatShape(cache.shape)} ${cache.dtype}`,
    fix: "pass a state [S, T, 2·Hkv·D] of f32 or f16",
  });
}

function checkUnchanged(op: string, cache: State): void {
  const trace = activeTrace();
  if (trace && !trace.assignments.has(cache)) return;
  throw new ForgeError({
    code: "state_conflict",
    what: trace
      ? `${op}: cache "${cache.name}" is changed twice in one function.`
      : `${op}: called outside of a compiled function.`,
    why: "a state changes once per plan",
    fix: trace
      ? "pass all rows in one call, or make the second change in another function"
      : "wrap the code in compile(() => …)",
  });
}
