/**
 * Kernels of sampling: a token for each row of logits, and what follows for the slots that the rows belong to.
 */
import { foldGrid, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import { LANE_A_ROW, lanesARow, type RowVariant, rowGrid, widthFor } from "./row-variants.ts";

/** Tokens from the rows of [rows, cols], each by the settings of one of `slots` slots. Offset and stride in numbers. */
export interface SampleCall {
  readonly rows: number;
  readonly cols: number;
  readonly slots: number;
  /** Default 0. */
  readonly offset?: number;
  /** From row to row. Default: cols. */
  readonly stride?: number;
}

/**
 * Longest row that a lane takes alone on a CPU behind the API. Drawing from a whole softmax on lavapipe, 32 rows of 512 take
 * 0.12 ms by lanes and 0.39 ms by workgroups, 32 rows of 4096 0.74 and 1.17, one row of 32,000 1.4 and 0.26. The choice
 * must not depend on the number of rows: it changes the order of sums.
 */
const LANE_COLS = 4096;

/** Params: rows, cols, quads, offset, stride (both in Elements), slots, half (of the lanes that share a row). */
export const SAMPLE: readonly RowVariant<SampleCall>[] = [
  {
    entry: "sample_lanes",
    supports: (device, { cols }) => device.isSoftware && cols <= LANE_COLS,
    dispatch: (call) => ({
      ...textOf(call, {}, 1),
      name: "sample-lanes",
      entry: "sample_lanes",
      grid: rowGrid(call.rows, LANE_A_ROW),
    }),
  },
  {
    entry: "sample",
    supports: () => true,
    dispatch: (call, device) => {
      const lanes = lanesARow(device, call.cols);
      return {
        ...textOf(call, { WORKGROUP_SIZE: lanes }, lanes),
        name: "sample",
        entry: "sample",
        grid: [...foldGrid(call.rows), 1],
      };
    },
  },
];

function textOf(
  { rows, cols, slots, offset = 0, stride = cols }: SampleCall,
  constants: Readonly<Record<string, number>>,
  lanes: number,
): Pick<KernelDispatch, "options" | "params"> {
  const width = widthFor(cols, offset, stride);
  const quads = Math.ceil(cols / 4);
  return {
    options:
      width === 4
        ? { constants }
        : { constants: { ...constants, Element: "u32" }, functions: SCALAR_HELPERS },
    params: paramWords([rows, cols, quads, offset / width, stride / width, slots, lanes / 2]),
  };
}

const SCALAR_HELPERS = {
  keys_at: `fn keys_at(start: u32, q: u32) -> vec4u {
  let at = vec4u(start) + min(4u * q + vec4u(0u, 1u, 2u, 3u), vec4u(params.cols - 1u));
  return keys_of(vec4u(logits[at.x], logits[at.y], logits[at.z], logits[at.w]));
}`,
  is_inside: `fn is_inside(q: u32) -> vec4<bool> {
  return 4u * q + vec4u(0u, 1u, 2u, 3u) < vec4u(params.cols);
}`,
} as const;

/** A vector's first element and the way from each to the next, in numbers. */
export interface VectorView {
  readonly offset: number;
  readonly stride: number;
}

/** Params: rows, count (of slots). */
export function advanceSlots(rows: number, slots: number): KernelDispatch {
  return {
    name: "advance",
    entry: "advance",
    options: {},
    params: paramWords([rows, slots]),
    grid: laneGrid(rows),
  };
}

/** Params: rows, count (of slots), length, then offset and stride of logprob and of entropy. */
export function advanceLog(
  rows: number,
  log: { readonly slots: number; readonly length: number },
  views: { readonly logprob: VectorView; readonly entropy: VectorView },
): KernelDispatch {
  const { logprob, entropy } = views;
  const places = [logprob, entropy].flatMap((v) => [v.offset, v.stride]);
  return {
    name: "advance-log",
    entry: "advance_log",
    options: {},
    params: paramWords([rows, log.slots, log.length, ...places]),
    grid: laneGrid(rows),
  };
}

function laneGrid(rows: number): KernelDispatch["grid"] {
  return [...foldGrid(Math.ceil(rows / 64)), 1];
}
