/** How a model's parameters lie in the tensors of a checkpoint, and values on the way between the two. */
import { namedParameters } from "../nn/module.ts";
import type { Transformer } from "../nn/transformer.ts";
import type { HostArray } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import type { NameMap } from "./names.ts";

/** One tensor of a checkpoint: some columns of a parameter. */
export interface TensorPart {
  /** Its name in full. Some checkpoints leave the prefix out. */
  readonly name: string;
  readonly shortName: string;
  /** Its shape there. */
  readonly shape: readonly number[];
  /** First column of the parameter, and how many. */
  readonly start: number;
  readonly columns: number;
}

/** A parameter and the tensors that it is made of. */
export interface ParameterParts {
  readonly path: string;
  readonly state: State;
  readonly parts: readonly TensorPart[];
  /** Whether the tensors are [columns, rows] of a parameter [rows, columns]. */
  readonly isTransposed: boolean;
}

/** The tensors of each parameter, in the order of `namedParameters`. */
export function parameterParts(model: Transformer, names: NameMap): ParameterParts[] {
  return [...namedParameters(model)].map(([path, state]) => {
    const isHead = path === "head";
    const dot = path.lastIndexOf(".");
    const [module, leaf] = isHead ? ["head", "weight"] : [path.slice(0, dot), path.slice(dot + 1)];
    const layer = /^layers\.(\d+)\./.exec(module)?.[1] ?? "";
    const theirs = names.modules[module.replace(/^layers\.\d+\./, "layers.#.")] ?? [];
    const isMatrix = /\.(qkv|output|gateUp|up|down)$/.test(module) && leaf === "weight";
    const isTransposed = isMatrix && names.isTransposed;
    const sizes = columnsOf(model, module, state, theirs.length);
    let start = 0;
    const parts = theirs.map((name, i) => {
      const shortName = `${name.replace("#", layer)}.${leaf}`;
      const columns = sizes[i] as number;
      const part = {
        name: isHead ? shortName : names.prefix + shortName,
        shortName,
        shape: partShape(state, columns, isTransposed),
        start,
        columns,
      };
      start += columns;
      return part;
    });
    return { path, state, parts, isTransposed };
  });
}

/** Widths of the projections that stand side by side in a parameter. */
function columnsOf(
  { options }: Transformer,
  module: string,
  { shape }: State,
  count: number,
): number[] {
  const all = shape.at(-1) as number;
  if (count === 1) return [all];
  if (!module.endsWith(".qkv")) return Array.from({ length: count }, () => all / count);
  const { heads, kvHeads = heads, headDim = options.width / heads } = options;
  return [heads, kvHeads, kvHeads].map((n) => n * headDim);
}

function partShape({ shape }: State, columns: number, isTransposed: boolean): number[] {
  const lead = shape.slice(0, -1);
  return isTransposed ? [columns, ...lead] : [...lead, columns];
}

/** Rows of a transposed tensor that are spread at once: their lines in the parameter are then written whole. */
const BLOCK = 32;

/** Where a run of elements of a tensor goes, in the parameter. */
export interface Placement {
  /** Columns of the whole parameter. */
  readonly stride: number;
  readonly start: number;
  readonly columns: number;
  readonly rows: number;
  readonly isTransposed: boolean;
}

/** Copies elements `from`… of a tensor (in its own order) into the parameter. */
export function scatter(
  values: HostArray,
  from: number,
  { stride, start, columns, rows, isTransposed }: Placement,
  into: HostArray,
): void {
  if (!isTransposed) {
    for (let i = 0; i < values.length; ) {
      const [row, column] = [Math.floor((from + i) / columns), (from + i) % columns];
      const count = Math.min(columns - column, values.length - i);
      into.set(values.subarray(i, i + count), row * stride + start + column);
      i += count;
    }
    return;
  }
  // element e of the tensor is row e % rows, column e / rows of the parameter
  let at = 0;
  const lead = Math.min((rows - (from % rows)) % rows, values.length);
  for (; at < lead; at++) into[placeOf(from + at)] = values[at] as number;
  while (at + rows <= values.length) {
    const column = (from + at) / rows;
    const block = Math.min(BLOCK, Math.floor((values.length - at) / rows));
    for (let r = 0; r < rows; r++) {
      const to = r * stride + start + column;
      for (let c = 0; c < block; c++) into[to + c] = values[at + c * rows + r] as number;
    }
    at += block * rows;
  }
  for (; at < values.length; at++) into[placeOf(from + at)] = values[at] as number;

  function placeOf(e: number): number {
    return (e % rows) * stride + start + Math.floor(e / rows);
  }
}

/** The inverse of {@link scatter}: elements `from` … `from + into.length` of a tensor, out of the parameter. */
export function gather(
  parameter: HostArray,
  from: number,
  { stride, start, columns, rows, isTransposed }: Placement,
  into: HostArray,
): void {
  for (let i = 0; i < into.length; i++) {
    const e = from + i;
    const [row, column] = isTransposed
      ? [e % rows, Math.floor(e / rows)]
      : [Math.floor(e / columns), e % columns];
    into[i] = parameter[row * stride + start + column] as number;
  }
}
