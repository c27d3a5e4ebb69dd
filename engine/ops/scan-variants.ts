/**
 * Kernels that walk along rows: cumulative sums, where the largest element is, the k largest elements.
 */
import { type KernelDispatch, paramWords } from "../gpu/dispatch.ts";
import {
  elementOptions,
  lanesThenWorkgroup,
  prefersLanes,
  type RowSplit,
  type RowVariant,
  rowGrid,
  widthFor,
} from "./row-variants.ts";

/** A walk over the rows of [rows, cols]; offset and stride of x in numbers. */
export interface ScanCall {
  readonly rows: number;
  readonly cols: number;
  /** Default 0. */
  readonly offset?: number;
  /** From row to row. Default: cols. */
  readonly stride?: number;
}

/** Cumulative sums. */
export interface CumulativeSumCall extends ScanCall {
  /** From the back: the gradient. Default false. */
  readonly isReversed?: boolean;
}

/** The k largest elements; k ≤ cols. */
export interface TopKCall extends ScanCall {
  readonly k: number;
}

/**
 * Params: rows, cols, x_offset, x_stride.
 *
 * On a CPU behind the API always a lane a row: the barriers of a workgroup's scan cost 25 times the sums.
 */
export const CUMULATIVE_SUM: readonly RowVariant<CumulativeSumCall>[] = lanesThenWorkgroup(
  "cumulative_sum",
  (call, split) => {
    const helper = (name: string, type: string): string =>
      `fn ${name}(v: Element) -> ${type} {\n  return v;\n}`;
    return scan("cumulative-sum", "cumulative_sum", call, split, {
      constants: { REVERSED: call.isReversed ?? false },
      helpers: {
        prefix: helper("prefix", "Element"),
        flipped: helper("flipped", "Element"),
        last: helper("last", "f32"),
      },
    });
  },
  (device) => device.isSoftware,
);

/** Params: rows, cols, x_offset, x_stride. */
export const ARG_MAX: readonly RowVariant<ScanCall>[] = lanesThenWorkgroup(
  "arg_max",
  (call, split) =>
    scan("arg-max", "arg_max", call, split, {
      scalarAliases: { Columns: "u32" },
      helpers: {
        best_of:
          "fn best_of(values: Element, at: Columns) -> Candidate {\n  return Candidate(values, at);\n}",
      },
    }),
);

/** Largest k of the kernel that keeps a heap in each lane: CAPACITY in the shader. */
const HEAP_CAPACITY = 64;

/** Params: rows, cols, x_offset, x_stride, k. */
export const TOP_K: readonly RowVariant<TopKCall>[] = lanesThenWorkgroup<TopKCall>(
  "top_k",
  (call, split) =>
    scan("top-k", "top_k", call, split, {
      fields: [call.k],
      helpers: {
        highest: "fn highest(v: Element) -> f32 {\n  return v;\n}",
        component: "fn component(v: Element, i: u32) -> f32 {\n  return v;\n}",
      },
    }),
  (device, call) => call.k <= HEAP_CAPACITY && prefersLanes(device, call.rows, call.cols),
);

interface ScanText {
  readonly constants?: Readonly<Record<string, boolean>>;
  /** Aliases besides Element of the text on single numbers. */
  readonly scalarAliases?: Readonly<Record<string, string>>;
  readonly helpers: Readonly<Record<string, string>>;
  /** Fields of Params after the four that all have. */
  readonly fields?: readonly number[];
}

function scan(
  name: string,
  entry: string,
  call: ScanCall,
  split: RowSplit,
  text: ScanText,
): KernelDispatch {
  const { rows, cols, offset = 0, stride = cols } = call;
  const width = widthFor(cols, offset, stride);
  const constants = {
    ...text.constants,
    ...(width === 1 ? text.scalarAliases : {}),
    ...split.constants,
  };
  return {
    name,
    entry: `${entry}${split.suffix}`,
    options: elementOptions(width, constants, text.helpers),
    params: paramWords([
      rows,
      cols / width,
      offset / width,
      stride / width,
      ...(text.fields ?? []),
    ]),
    grid: rowGrid(rows, split),
  };
}
