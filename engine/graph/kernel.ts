/**
 * What a plan is made of: slots (memory), operands (layouts on slots) and kernel calls (dispatches); and the interfaces
 * of the ops that make them.
 */
import type { Device } from "../gpu/device.ts";
import type { ShaderOptions } from "../gpu/shader.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import type { Layout } from "../tensor/layout.ts";
import type { State } from "../tensor/state.ts";
import type { Node, Op, TensorType } from "../tensor/tensor.ts";
import type { Packing } from "./packing.ts";

/** Where a slot's memory comes from. */
export type SlotKind =
  /** Lives between its first write and its last read inside the plan; shares memory with others. */
  | "temporary"
  /** Own memory, zero at first, untouched by others: kernels may leave parts of it unwritten. */
  | "persistent"
  /** A result that the caller sees. */
  | "output"
  /** An argument, written before each call. */
  | "input"
  /** Host data, written once. */
  | "data"
  /** A state's own buffer. */
  | "state"
  /** The device's status word. */
  | "status";

/** A piece of GPU memory that holds one value. */
export interface Slot {
  readonly id: number;
  readonly label: string;
  readonly kind: SlotKind;
  readonly dtype: DType;
  /** Set where kernels read the elements out of words. */
  readonly packing?: Packing | undefined;
  readonly elements: number;
  readonly sizeBytes: number;
  readonly state?: State;
  readonly data?: HostArray;
  readonly inputIndex?: number;
  /** Set when the value is made directly inside another slot (see `pack`). */
  inside?: { readonly slot: Slot; readonly offsetBytes: number };
}

/** A value in memory: a layout (in elements) on a slot. */
export interface Operand {
  readonly slot: Slot;
  readonly layout: Layout;
}

/** One dispatch, before pipelines and buffers exist. */
export interface KernelCall {
  /** `file.wgsl:entry`, the name in errors and profiles. */
  readonly label: string;
  /** Shader text (not yet expanded) and what to expand it with. */
  readonly name: string;
  readonly source: string;
  readonly options?: ShaderOptions;
  readonly entry: string;
  /** Storage buffers 1, 2, … in order. */
  readonly bindings: readonly Slot[];
  /** The `Params` struct, 4 bytes a field. */
  readonly params: Uint32Array;
  readonly grid: readonly [number, number, number];
  /** Floating-point operations, for reports. */
  readonly flops?: number;
  /** The same call storing into `to` in place, although it reads it; undefined where that would be wrong. */
  readonly retarget?: (to: Operand) => KernelCall | undefined;
}

/** A whole program: calls in order over slots. */
export interface Program {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly Slot[];
  /** Copies (whole slots into state or output slots) to make after the calls. */
  readonly copies: readonly { readonly from: Operand; readonly to: Operand }[];
  readonly outputs: readonly Operand[];
}

/** An op whose elements depend only on the same elements of its inputs. */
export interface MapOp extends Op {
  readonly kind: "map";
  /** WGSL expression of the result. `args` are expressions of the inputs; see {@link MapContext}. */
  readonly wgsl: (args: readonly string[], context: MapContext) => string;
  /** True for ops that cost much more than a load (exp, tanh, random): worth storing rather than computing twice. */
  readonly isCostly?: boolean;
}

/** What a map op's expression may use. */
export interface MapContext {
  readonly node: Node;
  readonly inputTypes: readonly TensorType[];
  readonly type: TensorType;
  /** WGSL type of a dtype at the kernel's width: `f32` or `vec4<f32>`. */
  typeName(dtype: DType | "bool"): string;
  /** A scalar in the kernel's parameters, so that its value is no part of the text. */
  scalar(value: number, dtype: DType): string;
  /** Number of elements handled at once: 1 or 4. */
  readonly width: 1 | 4;
}

/** How an op reduces. */
export type ReduceKind = "sum" | "product" | "max" | "min";

/** A reduction. Attributes: `axes` (sorted); the output keeps them with size 1. */
export interface ReduceOp extends Op {
  readonly kind: "reduce";
  readonly reduction: ReduceKind;
}

/** An op made of hand-written kernels. */
export interface KernelOp extends Op {
  readonly kind: "kernel";
  /** Emits the dispatches. */
  readonly lower: (context: LowerContext, node: Node) => void;
  /** True when output 0 may pass through a fused epilogue (the shader has a `store` hook). */
  readonly hasEpilogue?: boolean;
  /** Inputs that outputs update in place: `[output] → input`. Each such input must be a state. */
  readonly updates?: Readonly<Record<number, number>>;
  /** Whether the op takes input `i` in any layout (else it is made contiguous first). */
  readonly takesLayout?: (input: number, layout: Layout) => boolean;
}

/** What fusion hands to a kernel with a store hook, at the width of that hook. */
export interface EpilogueText {
  /** Fields to append to `Params`, and their values. */
  readonly fields: readonly string[];
  readonly values: readonly ParamValue[];
  readonly declarations: string;
  /** Storage buffers from binding 4 on. */
  readonly bindings: readonly Slot[];
  /** Definition of `store` (width 1) or `store4` (width 4), to replace the file's own. */
  readonly hook: string;
  /** Whether it reads f16, or computes in it. */
  readonly usesF16: boolean;
}

/** A fused epilogue; the kernel variant knows which hook it has. */
export interface Epilogue {
  /** Whether a hook of four columns can be written. */
  readonly isVector: boolean;
  at(width: 1 | 4): EpilogueText;
}

/** What a kernel op sees while it is lowered. */
export interface LowerContext {
  readonly device: Device;
  /** Input `i` in memory, contiguous unless the op said that it takes the layout. */
  input(i: number): Operand;
  /** Output `i`, contiguous; allocated on first use. */
  output(i: number): Operand;
  /** Whether anybody uses output `i`. */
  isUsed(i: number): boolean;
  /** Memory for intermediate results of this op. */
  scratch(label: string, elements: number, dtype?: DType): Operand;
  /** Host data that the op needs on the GPU, uploaded once. */
  constant(label: string, data: HostArray): Operand;
  /** The device's status word (u32): kernels raise it when data they read is invalid, and the next read reports it. */
  status(): Operand;
  /** The fused epilogue of output 0 for a kernel with columns `shape` = [batch…, M, N], if there is one. */
  readonly epilogue: Epilogue | undefined;
  /** Emits one dispatch. */
  call(call: KernelCall): void;
}

/** A field of `Params`: an integer, or `{ f32 }` for a float. */
export type ParamValue = number | { readonly f32: number };
