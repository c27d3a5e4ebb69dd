/**
 * What all kernels over rows share: variants of a family, text parameters, how rows are dealt to lanes.
 *
 * A family is a list of variants in order of preference; each is correct on every adapter, `supports` says where it is
 * worth running. The kernels themselves, and the order of their bindings, are in `shaders/`.
 */
import { type DeviceFacts, foldGrid, type KernelDispatch } from "../gpu/dispatch.ts";
import type { ShaderOptions } from "../gpu/shader.ts";

/** One entry point of a family. */
export interface RowVariant<Call> {
  readonly entry: string;
  supports(device: DeviceFacts, call: Call): boolean;
  dispatch(call: Call, device: DeviceFacts): KernelDispatch;
}

/** The dispatch of the first variant that suits the device; the last one always does. */
export function chooseRow<Call>(
  variants: readonly RowVariant<Call>[],
  device: DeviceFacts,
  call: Call,
): KernelDispatch {
  const variant = variants.find((v) => v.supports(device, call)) ?? variants.at(-1);
  if (!variant) throw new RangeError("a family of kernels has no variant");
  return variant.dispatch(call, device);
}

/** Where the rows of a matrix lie in a buffer; all in numbers, not bytes. */
export interface RowView {
  /** Default 0. */
  readonly offset?: number;
  /** From one group of rows to the next. Default: contiguous. */
  readonly stride?: number;
  /** Rows that follow each other contiguously in a group (heads of a token in a packed projection). Default 1. */
  readonly group?: number;
}

/** A view with its defaults filled in. */
export interface FullView {
  readonly offset: number;
  readonly stride: number;
  readonly group: number;
}

export function fullView(cols: number, view: RowView = {}): FullView {
  const group = view.group ?? 1;
  return { offset: view.offset ?? 0, stride: view.stride ?? group * cols, group };
}

/** Numbers per element that the kernel may load at once: 4 where all sizes, strides and offsets allow, else 1. */
export function widthFor(...sizes: readonly number[]): 4 | 1 {
  return sizes.every((n) => n % 4 === 0) ? 4 : 1;
}

/** Text parameters of a kernel on `Element`s; `helpers` are its functions that differ for single numbers. */
export function elementOptions(
  width: 4 | 1,
  constants: Readonly<Record<string, number | boolean | string>>,
  helpers: Readonly<Record<string, string>> = {},
): ShaderOptions {
  if (width === 4) return { constants };
  return { constants: { ...constants, Element: "f32", WIDTH: 1 }, functions: helpers };
}

/** `total` of shaders on single numbers. */
export const SCALAR_TOTAL: Readonly<Record<string, string>> = {
  total: "fn total(v: Element) -> f32 {\n  return v;\n}",
};

/**
 * True where a lane a row is the better split: on a CPU behind the API, unless few rows are so long that most lanes would
 * idle, or rows so long that one chain of f32 additions loses digits. Measured on lavapipe: a lane a row takes 1.3 ns an
 * element, a workgroup a row 1.8 to 12; at 1 × 65,536 the workgroup is twice as fast.
 */
export function prefersLanes(device: DeviceFacts, rows: number, cols: number): boolean {
  return device.isSoftware && cols <= (rows >= 16 ? 32_768 : 8192);
}

/** Lanes of a workgroup where each lane has its own row or column: one vector of the CPU drivers. */
export const LANES = 8;

/** How the rows of a matrix are dealt to lanes. */
export interface RowSplit {
  /** Of the entry point's name. */
  readonly suffix: "" | "_workgroup";
  readonly rowsPerGroup: number;
  /** Constants of the shader; none for a lane a row, which so stays one text for all sizes. */
  readonly constants: Readonly<Record<string, number>>;
}

export const LANE_A_ROW: RowSplit = { suffix: "", rowsPerGroup: LANES, constants: {} };

/**
 * Lanes that share a row: 32 on a CPU behind the API, where lanes add nothing and every barrier and every unrolled step of a
 * tree costs; on hardware as many as the row has vectors, from 32 to 256.
 */
export function lanesARow(device: DeviceFacts, cols: number): number {
  let size = 32;
  while (!device.isSoftware && size < 256 && 4 * size < cols) size *= 2;
  return size;
}

/** A workgroup a row, of {@link lanesARow}. */
export function workgroupARow(device: DeviceFacts, cols: number): RowSplit {
  const constants = { WORKGROUP_SIZE: lanesARow(device, cols) };
  return { suffix: "_workgroup", rowsPerGroup: 1, constants };
}

/** The two variants of a family that has both classes: a lane a row, and a workgroup a row (entry point `*_workgroup`). */
export function lanesThenWorkgroup<Call extends { readonly rows: number; readonly cols: number }>(
  entry: string,
  dispatch: (call: Call, split: RowSplit) => KernelDispatch,
  supportsLanes: (device: DeviceFacts, call: Call) => boolean = (device, call) =>
    prefersLanes(device, call.rows, call.cols),
): readonly RowVariant<Call>[] {
  return [
    {
      entry,
      supports: supportsLanes,
      dispatch: (call) => dispatch(call, LANE_A_ROW),
    },
    {
      entry: `${entry}_workgroup`,
      supports: () => true,
      dispatch: (call, device) => dispatch(call, workgroupARow(device, call.cols)),
    },
  ];
}

/** The grid that deals `rows` to workgroups. */
export function rowGrid(rows: number, split: RowSplit): KernelDispatch["grid"] {
  return [...foldGrid(Math.ceil(rows / split.rowsPerGroup)), 1];
}
