/**
 * The kernels on caches of keys and values: writing rows, copying slots, attention.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import type { ShaderOptions } from "../gpu/shader.ts";
import type { DType } from "../tensor/dtype.ts";

/** Rows that are written to a cache [S, T, 2·Hkv·D] and attend to it. */
export interface CacheAttentionCall {
  readonly slots: number;
  readonly positions: number;
  /** f32 or f16. */
  readonly dtype: DType;
  readonly rows: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Where the rows of q, k and v lie, in elements: multiples of 4. */
  readonly qkvOffset: number;
  readonly qkvStride: number;
  readonly scale: number;
  /** 0 = off. */
  readonly softcap: number;
  /** 0 = all. */
  readonly window: number;
}

/** Text parameters of a kernel on four numbers of a cache at a time; `f16` are its functions on packed halves. */
function elementOptions(
  dtype: DType,
  f16: Readonly<Record<string, string>>,
  constants: Readonly<Record<string, number | boolean>> = {},
): ShaderOptions {
  if (dtype === "f32") return { constants };
  return { constants: { ...constants, Element: "vec2<u32>" }, functions: f16 };
}

const WIDEN =
  "fn widen(element: Element) -> vec4<f32> {\n  return vec4<f32>(unpack2x16float(element.x), unpack2x16float(element.y));\n}";
const NARROW =
  "fn narrow(value: vec4<f32>) -> Element {\n  return vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));\n}";

function params(call: CacheAttentionCall): Uint32Array {
  return paramWords([
    call.rows,
    call.slots,
    call.positions,
    call.heads,
    call.kvHeads,
    call.headDim,
    call.window,
    call.qkvOffset,
    call.qkvStride,
    { f32: call.scale },
    { f32: call.softcap },
  ]);
}

/** Keys and values of rows into their places. Bindings: 1 qkv · 2 slots · 3 positions · 4 cache. */
export function cacheWrite(call: CacheAttentionCall): KernelDispatch {
  const vectors = (call.kvHeads * call.headDim) / 2;
  return {
    name: "cache-write",
    entry: "cache_write",
    options: elementOptions(call.dtype, { narrow: NARROW }),
    params: params(call),
    grid: [Math.ceil(vectors / 16), ...foldGrid(Math.ceil(call.rows / 4))],
  };
}

/** Attention of rows over a cache. Bindings: 1 qkv · 2 slots · 3 positions · 4 cache · 5 out. */
export function cacheAttend(_device: DeviceFacts, call: CacheAttentionCall): KernelDispatch {
  return {
    name: "cache-attention",
    entry: "cache_attention",
    options: elementOptions(
      call.dtype,
      { widen: WIDEN },
      { HEAD_DIM: call.headDim, HAS_WINDOW: call.window > 0, HAS_SOFTCAP: call.softcap > 0 },
    ),
    params: params(call),
    grid: [...foldGrid(Math.ceil(call.rows / 8)), call.heads],
  };
}

/** A cache [S, T, W]. */
export interface CacheShape {
  readonly slots: number;
  readonly positions: number;
  readonly width: number;
  /** f32 or f16. */
  readonly dtype: DType;
}

/** Workgroups that share out the positions of one pair of slots. */
const COPY_SHARES = 16;

/** The first positions of slots into other slots. Bindings: 1 sources · 2 destinations · 3 lengths · 4 cache. */
export function cacheCopy(cache: CacheShape, pairs: number): KernelDispatch {
  const { slots, positions, width, dtype } = cache;
  return {
    name: "cache-copy",
    entry: "cache_copy",
    options: elementOptions(dtype, {}),
    params: paramWords([pairs, slots, positions, width / 4]),
    grid: [COPY_SHARES, ...foldGrid(pairs)],
  };
}
