/**
 * Kernels of the rotary position embedding.
 */
import { foldGrid, paramWords } from "../gpu/dispatch.ts";
import { elementOptions, LANES, type RowVariant, widthFor } from "./row-variants.ts";

/** A rotation of [tokens, heads, headSize], or its gradient. */
export interface RopeCall {
  readonly tokens: number;
  readonly heads: number;
  readonly headSize: number;
  /** Numbers of a head that are rotated; the others are copied. */
  readonly rotarySize: number;
  /** Heads that are turned, from the first on; the others are copied. Default: all. */
  readonly turnedHeads?: number;
  readonly isInterleaved?: boolean;
  /** The gradient: turns back. */
  readonly isBackward?: boolean;
  /** Factor on sine and cosine (attention scaling). Default 1. */
  readonly scale?: number;
  /** Where x begins, and from token to token, in numbers. Default: contiguous. */
  readonly offset?: number;
  readonly stride?: number;
  readonly outOffset?: number;
  readonly outStride?: number;
}

/**
 * Params: tokens, heads, head_size, pairs, x_offset, x_stride, y_offset, y_stride, heads_per_lane, turned_heads, sign (f32), scale (f32).
 *
 * On a CPU behind the API a lane takes all heads of its pair, so that the angle is worked out once; on hardware two, so
 * that a few tokens still fill it.
 */
export const ROPE: readonly RowVariant<RopeCall>[] = [ropeVariant(true), ropeVariant(false)];

function ropeVariant(isForSoftware: boolean): RowVariant<RopeCall> {
  return {
    entry: "rope",
    supports: (device) => device.isSoftware === isForSoftware,
    dispatch: (call) => {
      const {
        tokens,
        heads,
        headSize,
        rotarySize,
        isInterleaved = false,
        isBackward = false,
      } = call;
      const { scale = 1, offset = 0, outOffset = 0, turnedHeads = heads } = call;
      const { stride = heads * headSize, outStride = heads * headSize } = call;
      const pairs = rotarySize / 2;
      const width = widthFor(pairs, headSize, offset, stride, outOffset, outStride);
      const lanes = isForSoftware ? LANES : 64;
      const headsPerLane = isForSoftware ? heads : Math.min(2, heads);
      return {
        name: "rope",
        entry: "rope",
        options: elementOptions(
          width,
          { INTERLEAVED: isInterleaved, LANES: lanes, ...(width === 1 ? SCALAR_ALIASES : {}) },
          SCALAR_HELPERS,
        ),
        params: paramWords([
          tokens,
          heads,
          headSize / width,
          pairs / width,
          offset / width,
          stride / width,
          outOffset / width,
          outStride / width,
          headsPerLane,
          turnedHeads,
          { f32: isBackward ? -1 : 1 },
          { f32: scale },
        ]),
        grid: [
          ...foldGrid(Math.ceil((tokens * (headSize - pairs)) / (width * lanes))),
          Math.ceil(heads / headsPerLane),
        ],
      };
    },
  };
}

const SCALAR_ALIASES = { Turns: "u32", Signed: "i32" } as const;

/** Pairs of single numbers need no shuffling. */
const SCALAR_HELPERS = {
  even: "fn even(first: Element, second: Element) -> Element {\n  return first;\n}",
  odd: "fn odd(first: Element, second: Element) -> Element {\n  return second;\n}",
  low: "fn low(evens: Element, odds: Element) -> Element {\n  return evens;\n}",
  high: "fn high(evens: Element, odds: Element) -> Element {\n  return odds;\n}",
} as const;
