/**
 * Kernels of softmax, log-softmax and log-sum-exp over rows, and of their gradients.
 */
import { paramWords } from "../gpu/dispatch.ts";
import {
  elementOptions,
  lanesThenWorkgroup,
  type RowVariant,
  rowGrid,
  widthFor,
} from "./row-variants.ts";

/** Softmax over the rows of [rows, cols], or a gradient of it. Offset and stride of x in numbers. */
export interface SoftmaxCall {
  readonly rows: number;
  readonly cols: number;
  /** Default 0; not for `SOFTMAX_BACKWARD`. */
  readonly offset?: number;
  /** From row to row. Default: cols; not for `SOFTMAX_BACKWARD`. */
  readonly stride?: number;
  /** The logarithm of softmax. Default false; without meaning for log-sum-exp. */
  readonly isLog?: boolean;
}

/** Params: rows, cols, x_offset, x_stride. */
export const SOFTMAX: readonly RowVariant<SoftmaxCall>[] = family("softmax", true);

/** Params: rows, cols, x_offset (unused), x_stride (unused). */
export const SOFTMAX_BACKWARD: readonly RowVariant<SoftmaxCall>[] = family(
  "softmax_backward",
  true,
);

/** Params: rows, cols, x_offset, x_stride. */
export const LOG_SUM_EXP: readonly RowVariant<SoftmaxCall>[] = family("log_sum_exp", false);

/** Params: rows, cols, x_offset, x_stride. */
export const LOG_SUM_EXP_BACKWARD: readonly RowVariant<SoftmaxCall>[] = family(
  "log_sum_exp_backward",
  false,
);

function family(entry: string, hasLog: boolean): readonly RowVariant<SoftmaxCall>[] {
  return lanesThenWorkgroup(entry, (call: SoftmaxCall, split) => {
    const { rows, cols, offset = 0, stride = cols, isLog = false } = call;
    const width = widthFor(cols, offset, stride);
    return {
      name: "softmax",
      entry: `${entry}${split.suffix}`,
      options: elementOptions(
        width,
        { ...(hasLog ? { IS_LOG: isLog } : {}), ...split.constants },
        SCALAR_HELPERS,
      ),
      params: paramWords([rows, cols / width, offset / width, stride / width]),
      grid: rowGrid(rows, split),
    };
  });
}

const SCALAR_HELPERS = {
  total: "fn total(v: Element) -> f32 {\n  return v;\n}",
  highest: "fn highest(v: Element) -> f32 {\n  return v;\n}",
} as const;
