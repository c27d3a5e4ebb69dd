/**
 * Row kernels over logits: log-prob, log-sum-exp and entropy (forward), and the gradients to the logits.
 *
 * The fused LM head runs per chunk of rows: matmul makes the chunk's logits, `lmHeadForward` reads them; in the backward
 * pass matmul makes them again and `lmHeadBackward` turns them into their gradient in place. `crossEntropy(logits,
 * labels)` uses `lmHeadForward` over all rows, and `crossEntropyBackward`, which leaves the logits alone.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import type { ShaderOptions } from "../gpu/shader.ts";

/** A chunk of logits and how they become scores. */
export interface LogitsChunk {
  /** Rows of the chunk. */
  readonly rows: number;
  /** Size of the vocabulary. */
  readonly cols: number;
  /** Numbers from one row of logits to the next. Default: `cols`. */
  readonly stride?: number;
  /** The chunk's first row in labels, results and gradients. Default 0. */
  readonly rowOffset?: number;
  /** `z = softcap · tanh(logit / softcap)`; 0 for none. Default 0. */
  readonly softcap?: number;
  /** Scores are divided by it. Default 1. */
  readonly temperature?: number;
}

/** Which gradients there are; a buffer must be bound for the others too, any f32 one with as many rows. */
export interface PresentGradients {
  readonly dlogprob: boolean;
  readonly dlse: boolean;
  readonly dentropy: boolean;
}

/** Entry points of the forward pass: the first whose `supports` holds. */
export const LM_HEAD_FORWARD_VARIANTS: readonly {
  readonly entry: string;
  readonly supports: (facts: DeviceFacts) => boolean;
  readonly groups: (rows: number) => number;
}[] = [
  {
    entry: "lm_head_forward_workgroup",
    supports: (facts) => !facts.isSoftware,
    groups: (rows) => rows,
  },
  { entry: "lm_head_forward", supports: () => true, groups: (rows) => Math.ceil(rows / 8) },
];

/**
 * Log-prob, log-sum-exp, entropy of each row.
 *
 * Bindings: 1 logits [rows, stride] · 2 labels u32 · 3 logprob · 4 lse · 5 entropy, the last four indexed from rowOffset.
 * Params: rows, cols, stride, row_offset, softcap f32, inverse_temperature f32.
 */
export function lmHeadForward(facts: DeviceFacts, chunk: LogitsChunk): KernelDispatch {
  const variant = LM_HEAD_FORWARD_VARIANTS.find((v) => v.supports(facts));
  if (!variant) throw new Error("unreachable: the last variant runs everywhere");
  return {
    name: "lm-head",
    entry: variant.entry,
    options: { constants: { SOFTCAP: (chunk.softcap ?? 0) > 0 } },
    params: paramWords(chunkFields(chunk)),
    grid: [...foldGrid(variant.groups(chunk.rows)), 1],
  };
}

/**
 * Gradient to the logits, in place.
 *
 * Bindings: 1 labels u32 · 2 lse · 3 entropy · 4 dlogprob · 5 dlse · 6 dentropy · 7 logits → dlogits [rows, stride].
 * Params: rows, cols, stride (both in Elements), row_offset, softcap f32, inverse_temperature f32, present (bits: 1 dlogprob,
 * 2 dlse, 4 dentropy).
 */
export function lmHeadBackward(
  facts: DeviceFacts,
  chunk: LogitsChunk,
  present: PresentGradients,
): KernelDispatch {
  const { rows, cols, stride = cols } = chunk;
  const width = cols % 4 === 0 && stride % 4 === 0 ? 4 : 1;
  const tile = tileOf(facts, width);
  const bits = (present.dlogprob ? 1 : 0) | (present.dlse ? 2 : 0) | (present.dentropy ? 4 : 0);
  return {
    name: "lm-head-backward",
    entry: "lm_head_backward",
    options: rowOptions(width, { SOFTCAP: (chunk.softcap ?? 0) > 0, ...tile }),
    params: paramWords([
      ...chunkFields({ ...chunk, cols: cols / width, stride: stride / width }),
      bits,
    ]),
    grid: tileGrid(rows, cols / width, tile),
  };
}

/**
 * Gradient of label log-probs to whole logits.
 *
 * Bindings: 1 logits [rows, cols] · 2 labels u32 · 3 lse · 4 dlogprob · 5 dlogits [rows, cols].
 * Params: rows, cols (in Elements).
 */
export function crossEntropyBackward(
  facts: DeviceFacts,
  { rows, cols }: { readonly rows: number; readonly cols: number },
): KernelDispatch {
  const width = cols % 4 === 0 ? 4 : 1;
  const tile = tileOf(facts, width);
  return {
    name: "cross-entropy",
    entry: "cross_entropy_backward",
    options: rowOptions(width, { ...tile }),
    params: paramWords([rows, cols / width]),
    grid: tileGrid(rows, cols / width, tile),
  };
}

function chunkFields(chunk: LogitsChunk): (number | { readonly f32: number })[] {
  return [
    chunk.rows,
    chunk.cols,
    chunk.stride ?? chunk.cols,
    chunk.rowOffset ?? 0,
    { f32: chunk.softcap ?? 0 },
    { f32: 1 / (chunk.temperature ?? 1) },
  ];
}

/** The text of a gradient kernel whose Elements hold `width` numbers. */
function rowOptions(
  width: 1 | 4,
  constants: Readonly<Record<string, number | boolean>>,
): ShaderOptions {
  if (width === 1) return { constants };
  return {
    constants: { ...constants, Element: "vec4<f32>", Columns: "vec4<u32>", WIDTH: 4 },
    functions: {
      columns_of: `fn columns_of(c: u32) -> Columns {
  return 4u * c + vec4<u32>(0u, 1u, 2u, 3u);
}`,
    },
  };
}

interface Tile {
  readonly LANES_X: number;
  readonly LANES_Y: number;
  readonly COLS: number;
}

/**
 * Lanes along columns on hardware (coalesced); lanes along rows on a CPU driver, where a row's scalars cost loads. A lane
 * takes 16 or 256 numbers of a row.
 */
function tileOf(facts: DeviceFacts, width: 1 | 4): Tile {
  return facts.isSoftware
    ? { LANES_X: 1, LANES_Y: 8, COLS: 256 / width }
    : { LANES_X: 64, LANES_Y: 1, COLS: 16 / width };
}

function tileGrid(rows: number, cols: number, tile: Tile): KernelDispatch["grid"] {
  return [
    Math.ceil(cols / (tile.LANES_X * tile.COLS)),
    ...foldGrid(Math.ceil(rows / tile.LANES_Y)),
  ];
}
