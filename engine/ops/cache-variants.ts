/**
 * The kernels on caches of keys and values: writing rows, copying slots, attention.
 */
import {
  type DeviceFacts,
  foldGrid,
  type KernelDispatch,
  MAX_GRID,
  paramWords,
} from "../gpu/dispatch.ts";
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

function params(call: CacheAttentionCall, spans: Spans = oneSpan(call)): Uint32Array {
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
    spans.count,
    spans.length,
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

/** The dispatches of one attention over a cache. */
export interface CacheAttention {
  /** Bindings: 1 qkv · 2 slots · 3 positions · 4 cache · 5 out, or the parts. */
  readonly attend: KernelDispatch;
  /** Where keys are shared out over workgroups: puts the parts together. */
  readonly combine?: {
    /** Numbers in the parts. */
    readonly elements: number;
    /** Bindings: 1 parts · 2 slots · 3 positions · 4 out. */
    readonly dispatch: KernelDispatch;
  };
}

/** Kernels of attention over a cache for one class of adapter. */
export interface CacheAttentionVariant {
  readonly name: "lanes" | "workgroup";
  /** Why this variant cannot run there, or undefined when it can. */
  refusal(device: DeviceFacts): string | undefined;
  plan(device: DeviceFacts, call: CacheAttentionCall): CacheAttention;
}

/** Consecutive positions that a workgroup has of each row. */
interface Spans {
  readonly count: number;
  readonly length: number;
}

function oneSpan(call: CacheAttentionCall): Spans {
  return { count: 1, length: call.positions };
}

/** Tile of the workgroup kernel: spans begin at multiples of it. */
const TILE = 64;
const MOST_SPANS = 16;

/**
 * Few rows of long sequences leave most of a GPU idle unless their keys are shared out. The spans depend on the cache's shape
 * only, so that a row's bits depend on nothing else.
 */
function spansOf(call: CacheAttentionCall): Spans {
  const { positions, heads } = call;
  if (positions <= 1024) return oneSpan(call);
  const count = Math.min(Math.ceil(positions / 512), MOST_SPANS, Math.floor(MAX_GRID / heads));
  const length = Math.ceil(positions / count / TILE) * TILE;
  return { count: Math.ceil(positions / length), length };
}

/** What a workgroup of an attention kernel has. */
interface Share {
  readonly rows: number;
  /** Query heads of a row. */
  readonly group: number;
}

/**
 * Queries of one workgroup: as many as share a key head, within limits on their number and on their numbers in registers. More
 * rows than slots are chunks of prompts, in which neighbours share a slot.
 */
function shareOf(call: CacheAttentionCall, mostQueries: number, mostNumbers: number): Share {
  const { rows, slots, heads, kvHeads, headDim } = call;
  const most = Math.max(1, Math.min(mostQueries, Math.floor(mostNumbers / headDim)));
  const perKey = heads / kvHeads;
  const group = Math.ceil(perKey / Math.ceil(perKey / most));
  const shared = [4, 2].find((count) => count * group <= most);
  return { rows: rows > slots ? (shared ?? 1) : 1, group };
}

function attendDispatch(
  name: string,
  entry: string,
  call: CacheAttentionCall,
  share: Share,
  spans: Spans,
  constants: Readonly<Record<string, number | boolean>>,
): KernelDispatch {
  const { heads, kvHeads, headDim, window, softcap } = call;
  const groups = kvHeads * Math.ceil(heads / kvHeads / share.group);
  return {
    name,
    entry,
    options: elementOptions(
      call.dtype,
      { widen: WIDEN },
      {
        HEAD_DIM: headDim,
        ROWS: share.rows,
        GROUP: share.group,
        HAS_WINDOW: window > 0,
        HAS_SOFTCAP: softcap > 0,
        ...constants,
      },
    ),
    params: params(call, spans),
    grid: [groups * spans.count, ...foldGrid(Math.ceil(call.rows / share.rows))],
  };
}

/**
 * For drivers on a CPU: a lane has every n-th key of a row, and exchanges nothing until the end. Such a driver takes long to
 * compile what is in registers, so a text holds few queries, and few vectors at a time of a key. Measured on lavapipe, 8 lanes.
 */
export const cacheLanesVariant: CacheAttentionVariant = {
  name: "lanes",
  refusal: ({ subgroupSize: size }) => {
    if (size === 4 || size === 8 || size === 16) return undefined;
    return size === undefined
      ? "the adapter has no subgroups of one fixed size"
      : `written for subgroups of 4, 8 or 16 lanes; the adapter has ${size}`;
  },
  plan: (device, call) => {
    const share = shareOf(call, 8, 256);
    const vectors = call.headDim / 4;
    const most = share.rows > 1 ? 8 : 4;
    const chunk = Array.from({ length: most }, (_, i) => most - i).find((n) => vectors % n === 0);
    return {
      attend: attendDispatch(
        "cache-attention-lanes",
        "cache_attention_lanes",
        call,
        share,
        oneSpan(call),
        { LANES: device.subgroupSize ?? 8, CHUNK: chunk ?? 1 },
      ),
    };
  },
};

/** For hardware: a workgroup a row and key head, or a few rows, or a span of positions. Runs everywhere. */
export const cacheWorkgroupVariant: CacheAttentionVariant = {
  name: "workgroup",
  refusal: () => undefined,
  plan: (_device, call) => {
    const spans = spansOf(call);
    const hasSpans = spans.count > 1;
    const attend = attendDispatch(
      "cache-attention",
      "cache_attention_workgroup",
      call,
      shareOf(call, 8, 512),
      spans,
      { HAS_SPANS: hasSpans },
    );
    if (!hasSpans) return { attend };
    const { rows, heads, headDim, window } = call;
    const dispatch: KernelDispatch = {
      name: "cache-attention-combine",
      entry: "cache_attention_combine",
      options: { constants: { HAS_WINDOW: window > 0 } },
      params: params(call, spans),
      grid: [...foldGrid(Math.ceil((rows * heads * headDim) / 4 / 64)), 1],
    };
    return { attend, combine: { elements: rows * heads * spans.count * (headDim + 4), dispatch } };
  },
};

/** The variant for an adapter: lanes on a driver that computes on the CPU and has the subgroups for it. */
export function chooseCacheAttention(device: DeviceFacts): CacheAttentionVariant {
  const isLanes = device.isSoftware && cacheLanesVariant.refusal(device) === undefined;
  return isLanes ? cacheLanesVariant : cacheWorkgroupVariant;
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
