/**
 * Kernels of the gated activations.
 */
import { foldGrid, paramWords } from "../gpu/dispatch.ts";
import { elementOptions, LANES, type RowVariant, widthFor } from "./row-variants.ts";

/** Which function the gate passes through. */
export type GatedActivation = "silu" | "gelu_tanh" | "gelu_erf";

/** A gated activation of [rows, cols], or its gradient. All offsets and strides in numbers. */
export interface GatedCall {
  readonly activation: GatedActivation;
  readonly rows: number;
  readonly cols: number;
  readonly gateOffset?: number;
  /** From row to row. Default: cols. */
  readonly gateStride?: number;
  readonly upOffset?: number;
  readonly upStride?: number;
  /** Where the output (backward: dgate) begins. Default 0. */
  readonly outOffset?: number;
  readonly outStride?: number;
  /** Backward: where dup begins in the same output. */
  readonly dupOffset?: number;
}

/** Params: rows, cols, gate_offset, gate_stride, up_offset, up_stride, out_offset, out_stride, dup_offset (unused). */
export const GATED: readonly RowVariant<GatedCall>[] = [gatedVariant("gated")];

/** Params: rows, cols, gate_offset, gate_stride, up_offset, up_stride, out_offset (dgate), out_stride (both), dup_offset. */
export const GATED_BACKWARD: readonly RowVariant<GatedCall>[] = [gatedVariant("gated_backward")];

/** ACTIVATION in the shader. */
const CODES = { silu: 0, gelu_tanh: 1, gelu_erf: 2 } as const satisfies Record<
  GatedActivation,
  number
>;

function gatedVariant(entry: string): RowVariant<GatedCall> {
  return {
    entry,
    supports: () => true,
    dispatch: (call, device) => {
      const {
        activation,
        rows,
        cols,
        gateOffset = 0,
        upOffset = 0,
        outOffset = 0,
        dupOffset = 0,
      } = call;
      const { gateStride = cols, upStride = cols, outStride = cols } = call;
      const places = [gateOffset, gateStride, upOffset, upStride, outOffset, outStride, dupOffset];
      const width = widthFor(cols, ...places);
      // A CPU behind the API pays for every workgroup and division, hardware for lanes that load apart.
      const [lanes, chunk] = device.isSoftware ? [LANES, 16] : [256, 1];
      return {
        name: "gated",
        entry,
        options: elementOptions(width, {
          ACTIVATION: CODES[activation],
          LANES: lanes,
          CHUNK: chunk,
        }),
        params: paramWords([rows, cols / width, ...places.map((n) => n / width)]),
        grid: [...foldGrid(Math.ceil((rows * cols) / (width * lanes * chunk))), 1],
      };
    },
  };
}
