/**
 * Kernels that walk along rows: cumulative sums, where the largest element is, the k largest elements.
 */
import {
  elementOptions,
  lanesThenWorkgroup,
  packParams,
  prefersLanes,
  type RowDispatch,
  type RowVariant,
  rowGrid,
  rowSizes,
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

/** Params: rows, cols, x_offset, x_stride. */
export const CUMULATIVE_SUM: readonly RowVariant<CumulativeSumCall>[] = lanesThenWorkgroup(
  "cumulative_sum",
  (call, hasWorkgroup) => {
    const helper = (name: string, type: string): string =>
      `fn ${name}(v: Element) -> ${type} {\n  return v;\n}`;
    return scan("cumulative-sum", "cumulative_sum", call, hasWorkgroup, {
      constants: { REVERSED: call.isReversed ?? false },
      helpers: {
        prefix: helper("prefix", "Element"),
        flipped: helper("flipped", "Element"),
        last: helper("last", "f32"),
      },
    });
  },
);

/** Params: rows, cols, x_offset, x_stride. */
export const ARG_MAX: readonly RowVariant<ScanCall>[] = lanesThenWorkgroup(
  "arg_max",
  (call, hasWorkgroup) =>
    scan("arg-max", "arg_max", call, hasWorkgroup, {
      scalarAliases: { Columns: "u32" },
      helpers: {
        best_of:
          "fn best_of(values: Element, at: Columns) -> Candidate {\n  return Candidate(values, at);\n}",
      },
    }),
);

/** Largest k of the kernel that keeps a list in each lane: CAPACITY in the shader. */
const LIST_CAPACITY = 64;

/** Params: rows, cols, x_offset, x_stride, k. */
export const TOP_K: readonly RowVariant<TopKCall>[] = [false, true].map((hasWorkgroup) => ({
  entry: hasWorkgroup ? "top_k_workgroup" : "top_k",
  supports: (device, call) =>
    hasWorkgroup || (call.k <= LIST_CAPACITY && prefersLanes(device, call.rows, call.cols)),
  dispatch: (call) =>
    scan("top-k", "top_k", call, hasWorkgroup, {
      fields: [call.k],
      helpers: {
        highest: "fn highest(v: Element) -> f32 {\n  return v;\n}",
        component: "fn component(v: Element, i: u32) -> f32 {\n  return v;\n}",
      },
    }),
}));

interface ScanText {
  readonly constants?: Readonly<Record<string, boolean>>;
  /** Aliases besides Element of the text on single numbers. */
  readonly scalarAliases?: Readonly<Record<string, string>>;
  readonly helpers: Readonly<Record<string, string>>;
  /** Fields of Params after the four that all have. */
  readonly fields?: readonly number[];
}

function scan(
  shader: string,
  entry: string,
  call: ScanCall,
  hasWorkgroup: boolean,
  text: ScanText,
): RowDispatch {
  const { rows, cols, offset = 0, stride = cols } = call;
  const width = widthFor(cols, offset, stride);
  const constants = {
    ...text.constants,
    ...(width === 1 ? text.scalarAliases : {}),
    ...rowSizes(hasWorkgroup, cols / width),
  };
  return {
    shader,
    entry: hasWorkgroup ? `${entry}_workgroup` : entry,
    options: elementOptions(width, constants, text.helpers),
    params: packParams(rows, cols / width, offset / width, stride / width, ...(text.fields ?? [])),
    grid: rowGrid(rows, hasWorkgroup),
  };
}
