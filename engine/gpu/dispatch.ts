/**
 * One dispatch as a family of kernels describes it: which text, entry point, `Params` and grid. Buffers come later.
 */
import type { ShaderOptions } from "./shader.ts";

/** What the choice between entry points depends on. A `Device` has these fields. */
export interface DeviceFacts {
  /** Whether kernels run on a CPU behind the API. */
  readonly isSoftware: boolean;
  /** Lanes of a subgroup when the adapter has exactly one size, else undefined. */
  readonly subgroupSize: number | undefined;
}

/** A dispatch without its buffers. */
export interface KernelDispatch {
  /** Base name of the file in `shaders/`. */
  readonly name: string;
  readonly entry: string;
  readonly options: ShaderOptions;
  /** The `Params` struct, 4 bytes a field. */
  readonly params: Uint32Array;
  readonly grid: readonly [number, number, number];
}

/** Largest number of workgroups in one dimension that every adapter allows. */
export const MAX_GRID = 65_535;

/** Workgroups `count` folded over two dimensions: kernels compute `first + second · grid.first` and drop the overhang. */
export function foldGrid(count: number): readonly [number, number] {
  const rows = Math.max(1, Math.ceil(count / MAX_GRID));
  return [Math.max(1, Math.ceil(count / rows)), rows];
}

/** `Params` words: numbers are integers, `{ f32: x }` is stored as a float. */
export function paramWords(values: readonly (number | { readonly f32: number })[]): Uint32Array {
  const words = new Uint32Array(values.length);
  const floats = new Float32Array(words.buffer);
  values.forEach((value, i) => {
    if (typeof value === "number") words[i] = value;
    else floats[i] = value.f32;
  });
  return words;
}
