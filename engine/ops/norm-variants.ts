/**
 * Kernels of layer normalization and root-mean-square normalization, and of their gradients.
 */
import { type DeviceFacts, type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import {
  elementOptions,
  fullView,
  LANES,
  lanesThenWorkgroup,
  type RowSplit,
  type RowVariant,
  type RowView,
  rowGrid,
  SCALAR_TOTAL,
  widthFor,
} from "./row-variants.ts";

/** A forward normalization. */
export interface NormCall {
  readonly rows: number;
  readonly cols: number;
  /** Where the rows of x lie. */
  readonly x?: RowView;
  readonly eps: number;
  /** Added to the weight: 1 for Gemma. Default 0. */
  readonly weightOffset?: number;
  readonly withResidual?: boolean;
  /** Layer norm only. */
  readonly withBias?: boolean;
}

/** The gradient of a normalization with respect to its rows. */
export interface NormBackwardCall {
  readonly rows: number;
  readonly cols: number;
  /** Where the normalized rows lie: the forward's sum (contiguous), or its x. */
  readonly s?: RowView;
  readonly weightOffset?: number;
  /** Whether a gradient of the sum is to be added. */
  readonly withDsum?: boolean;
}

/** Params: rows, cols, x_offset, x_stride, x_group, eps (f32), weight_offset (f32). */
export const LAYER_NORM: readonly RowVariant<NormCall>[] = forward(
  "layer-norm",
  "layer_norm",
  true,
);

/** Params: rows, cols, x_offset, x_stride, x_group, eps (f32), weight_offset (f32). */
export const RMS_NORM: readonly RowVariant<NormCall>[] = forward("rms-norm", "rms_norm", false);

/** Params: rows, cols, s_offset, s_stride, s_group, weight_offset (f32). */
export const LAYER_NORM_BACKWARD: readonly RowVariant<NormBackwardCall>[] = backward(
  "layer-norm-backward",
  "layer_norm_backward",
);

/** Params: rows, cols, s_offset, s_stride, s_group, weight_offset (f32). */
export const RMS_NORM_BACKWARD: readonly RowVariant<NormBackwardCall>[] = backward(
  "rms-norm-backward",
  "rms_norm_backward",
);

function forward(
  name: string,
  entry: string,
  isCentered: boolean,
): readonly RowVariant<NormCall>[] {
  const dispatch = (call: NormCall, split: RowSplit): KernelDispatch => {
    const { rows, cols, eps, weightOffset = 0, withResidual = false, withBias = false } = call;
    const x = fullView(cols, call.x);
    const width = widthFor(cols, x.offset, x.stride);
    const elements = cols / width;
    const flags = isCentered ? { WITH_BIAS: withBias } : {};
    return {
      name,
      entry: `${entry}${split.suffix}`,
      options: elementOptions(
        width,
        { WITH_RESIDUAL: withResidual, ...flags, ...split.constants },
        SCALAR_TOTAL,
      ),
      params: paramWords([
        rows,
        elements,
        x.offset / width,
        x.stride / width,
        x.group,
        { f32: eps },
        { f32: weightOffset },
      ]),
      grid: rowGrid(rows, split),
    };
  };
  return lanesThenWorkgroup(entry, dispatch);
}

function backward(name: string, entry: string): readonly RowVariant<NormBackwardCall>[] {
  const dispatch = (call: NormBackwardCall, split: RowSplit): KernelDispatch => {
    const { rows, cols, weightOffset = 0, withDsum = false } = call;
    const s = fullView(cols, call.s);
    const width = widthFor(cols, s.offset, s.stride);
    const elements = cols / width;
    return {
      name,
      entry: `${entry}${split.suffix}`,
      options: elementOptions(width, { WITH_DSUM: withDsum, ...split.constants }, SCALAR_TOTAL),
      params: paramWords([
        rows,
        elements,
        s.offset / width,
        s.stride / width,
        s.group,
        {
          f32: weightOffset,
        },
      ]),
      grid: rowGrid(rows, split),
    };
  };
  return lanesThenWorkgroup(entry, dispatch);
}

/** Partial sums of the weight (and bias) gradient. */
export interface NormWeightCall {
  readonly rows: number;
  readonly cols: number;
  readonly s?: RowView;
  /** Blocks of rows, from {@link rowBlocks}: partials are [blocks, 2, cols] for layer norm, [blocks, cols] for rms norm. */
  readonly blocks: number;
}

/** Params: rows, cols, s_offset, s_stride, s_group, rows_per_block. */
export const LAYER_NORM_WEIGHT: readonly RowVariant<NormWeightCall>[] = weightGradient(true);

/** Params: rows, cols, s_offset, s_stride, s_group, rows_per_block. */
export const RMS_NORM_WEIGHT: readonly RowVariant<NormWeightCall>[] = weightGradient(false);

function weightGradient(isCentered: boolean): readonly RowVariant<NormWeightCall>[] {
  const entry = "norm_weight_gradient";
  const variant = (lanes: number, isForSoftware: boolean): RowVariant<NormWeightCall> => ({
    entry,
    supports: (device) => device.isSoftware === isForSoftware,
    dispatch: ({ rows, cols, s, blocks }) => {
      const view = fullView(cols, s);
      const width = widthFor(cols, view.offset, view.stride);
      const elements = cols / width;
      return {
        name: "norm-weight-gradient",
        entry,
        options: elementOptions(width, { CENTERED: isCentered, LANES: lanes }),
        params: paramWords([
          rows,
          elements,
          view.offset / width,
          view.stride / width,
          view.group,
          Math.ceil(rows / blocks),
        ]),
        grid: [Math.ceil(elements / lanes), blocks, 1],
      };
    },
  });
  return [variant(LANES, true), variant(32, false)];
}

/**
 * Into how many blocks a sum over rows is cut: enough for all cores, few enough that adding the partials costs nothing;
 * never an empty block.
 */
export function rowBlocks(device: DeviceFacts, rows: number): number {
  const rowsPerBlock = device.isSoftware
    ? Math.max(64, Math.ceil(rows / 64))
    : Math.max(16, Math.ceil(rows / 256));
  return Math.ceil(rows / rowsPerBlock);
}

/** A sum over rows. */
export interface ColumnSumCall {
  readonly rows: number;
  readonly cols: number;
  readonly offset?: number;
  /** From row to row. Default: cols. */
  readonly stride?: number;
  /** Blocks of rows summed apart; y is [blocks, cols]. Default 1. */
  readonly blocks?: number;
}

/** Params: rows, cols, x_offset, x_stride, rows_per_block. */
export const COLUMN_SUM: readonly RowVariant<ColumnSumCall>[] = [columnSum(false), columnSum(true)];

/** Columns of Elements a workgroup of `column_sum_workgroup` takes: STRIP in the shader. */
const STRIP = 16;

function columnSum(hasWorkgroup: boolean): RowVariant<ColumnSumCall> {
  const entry = hasWorkgroup ? "column_sum_workgroup" : "column_sum";
  return {
    entry,
    supports: (device) => device.isSoftware !== hasWorkgroup,
    dispatch: ({ rows, cols, offset = 0, stride = cols, blocks = 1 }) => {
      const width = widthFor(cols, offset, stride);
      const elements = cols / width;
      return {
        name: "column-sum",
        entry,
        options: elementOptions(width, {}),
        params: paramWords([
          rows,
          elements,
          offset / width,
          stride / width,
          Math.ceil(rows / blocks),
        ]),
        grid: [Math.ceil(elements / (hasWorkgroup ? STRIP : LANES)), blocks, 1],
      };
    },
  };
}
