/**
 * Fused elementwise expressions: from a tree of map and view nodes to WGSL statements.
 *
 * An expression is collected once: its leaves (loads with a layout over the iteration space, or the index itself) and
 * its steps in order. Kernels then ask for the text at a width of 1 or 4 elements. Views never cost a step: the
 * movements between a leaf and the root are replayed on the leaf's layout.
 */
import { ForgeError } from "../error.ts";
import type { DType } from "../tensor/dtype.ts";
import { type Layout, move } from "../tensor/layout.ts";
import { fullOp, movementOf, type Op, type Tensor } from "../tensor/tensor.ts";
import type { MapOp, Operand, ParamValue, Slot } from "./kernel.ts";

/** The index of each element along the strides of its layout, as a value. Attributes: `strides` over its shape. */
export const iotaOp: Op = { name: "iota", kind: "source" };

/**
 * Elements of input 0 at the positions that input 1 (integers, one for each output element) gives along an axis; computed
 * inside the kernel that uses it. Attributes: `axis`. Its gradient is installed by `engine/ops/gather.ts`.
 */
export const gatherOp: Op & { gradient?: Op["gradient"] } = { name: "gather", kind: "map" };

/** A leaf of an expression, with its layout over the iteration space. */
export interface Leaf {
  readonly layout: Layout;
  readonly dtype: DType;
  /** Absent for an index leaf. */
  readonly slot?: Slot;
  /** For gathered values: the stride and size of the axis that the index runs along. */
  readonly along?: { readonly stride: number; readonly size: number };
}

/** How a kernel writes the load of a leaf; `index` is the position along the axis of a gathered one. */
export type LoadText = (leaf: Leaf, leafNumber: number, index?: string) => string;

type Step =
  | { readonly kind: "leaf"; readonly leaf: number; readonly dtype: DType; readonly index?: number }
  | { readonly kind: "anchor"; readonly dtype: DType }
  | { readonly kind: "scalar"; readonly value: number; readonly dtype: DType }
  | {
      readonly kind: "map";
      readonly tensor: Tensor;
      readonly args: readonly number[];
      readonly dtype: DType;
    };

/** How the expression sees the graph. */
export interface Scope {
  /** The tensor that stands for `tensor` after common subexpressions are merged. */
  canonical(tensor: Tensor): Tensor;
  /** Where a tensor lies in memory, when it does. */
  operand(tensor: Tensor): Operand | undefined;
  /** The value that the enclosing kernel computes itself, if any. */
  readonly anchor?: Tensor;
}

/** Thrown while collecting: a view of `tensor` has no layout, so `tensor` needs memory of its own. */
export class NeedsMemory extends Error {
  readonly tensor: Tensor;
  constructor(tensor: Tensor) {
    super("needs memory");
    this.tensor = tensor;
  }
}

/** The layout of a tensor seen through views, or {@link NeedsMemory} for the input of the view that has none. */
export function replay(start: Layout, path: readonly Tensor[]): Layout {
  let layout = start;
  for (const view of path) {
    const next = move(layout, movementOf(view.node));
    if (!next) throw new NeedsMemory(view.node.inputs[0] as Tensor);
    layout = next;
  }
  return layout;
}

/** A collected expression. */
export class Expression {
  readonly leaves: Leaf[] = [];
  readonly #steps: Step[] = [];
  readonly #memo = new Map<string, number>();
  readonly #scope: Scope;

  constructor(root: Tensor, scope: Scope) {
    this.#scope = scope;
    this.#collect(root, [], "");
  }

  /** The expression that copies one leaf. */
  static ofLeaf(leaf: Leaf, like: Tensor): Expression {
    const operand = leaf.slot ? { slot: leaf.slot, layout: leaf.layout } : undefined;
    return new Expression(like, { canonical: (t) => t, operand: () => operand });
  }

  /** Whether any step or leaf is f16. A leaf that is packed becomes f32 as it is read. */
  get usesF16(): boolean {
    return this.#steps.some(
      (s) => s.dtype === "f16" && !(s.kind === "leaf" && this.leaves[s.leaf]?.slot?.packing),
    );
  }

  /** Number of map steps, for FLOP counts. */
  get mapCount(): number {
    return this.#steps.filter((s) => s.kind === "map").length;
  }

  /**
   * Statements computing the root.
   *
   * `load(leaf)` gives the WGSL of a leaf's value; `anchor` that of the enclosing kernel's value; `scalar` registers a
   * parameter and gives its WGSL.
   */
  text(
    width: 1 | 4,
    load: LoadText,
    scalar: (value: number, dtype: DType) => string,
    anchor = "",
  ): { lines: string[]; result: string } {
    const lines: string[] = [];
    const names = this.#steps.map((step, i) => {
      const name = `v${i}`;
      lines.push(`let ${name} = ${this.#stepText(step, width, load, scalar, anchor)};`);
      return name;
    });
    return { lines, result: names.at(-1) ?? "0" };
  }

  #stepText(
    step: Step,
    width: 1 | 4,
    load: LoadText,
    scalar: (value: number, dtype: DType) => string,
    anchor: string,
  ): string {
    const typeName = (dtype: DType | "bool"): string => typeAt(dtype, width);
    switch (step.kind) {
      case "leaf":
        return load(
          this.leaves[step.leaf] as Leaf,
          step.leaf,
          step.index === undefined ? undefined : `v${step.index}`,
        );
      case "anchor":
        return anchor;
      case "scalar":
        return `${typeName(step.dtype)}(${scalar(step.value, step.dtype)})`;
      case "map": {
        const { node } = step.tensor;
        return (node.op as MapOp).wgsl(
          step.args.map((a) => `v${a}`),
          { node, inputTypes: node.inputs, type: step.tensor, typeName, scalar, width },
        );
      }
    }
  }

  /** Collects `tensor` as seen through `path` (views between it and the root, innermost first); returns its step. */
  #collect(raw: Tensor, path: readonly Tensor[], pathKey: string): number {
    const tensor = this.#scope.canonical(raw);
    const key = `${tensor.node.id}.${tensor.output}/${pathKey}`;
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const step = this.#makeStep(tensor, path, pathKey);
    const index = typeof step === "number" ? step : this.#steps.push(step) - 1;
    this.#memo.set(key, index);
    return index;
  }

  #makeStep(tensor: Tensor, path: readonly Tensor[], pathKey: string): Step | number {
    const { node, dtype } = tensor;
    const { anchor } = this.#scope;
    if (anchor && anchor.node === node && anchor.output === tensor.output)
      return { kind: "anchor", dtype };
    const operand = this.#scope.operand(tensor);
    if (operand) {
      const layout = replay(operand.layout, path);
      return {
        kind: "leaf",
        leaf: this.leaves.push({ layout, dtype, slot: operand.slot }) - 1,
        dtype,
      };
    }
    if (node.op === fullOp)
      return { kind: "scalar", value: node.attributes["value"] as number, dtype };
    if (node.op === iotaOp) {
      const strides = node.attributes["strides"] as readonly number[];
      const layout = replay({ shape: tensor.shape, strides, offset: 0 }, path);
      return { kind: "leaf", leaf: this.leaves.push({ layout, dtype }) - 1, dtype };
    }
    const input = node.inputs[0];
    if (node.op.kind === "view" && input) {
      return this.#collect(input, [tensor, ...path], `${node.id},${pathKey}`);
    }
    if (node.op === gatherOp) return this.#gather(tensor, path, pathKey);
    if (node.op.kind === "map") {
      return {
        kind: "map",
        tensor,
        args: node.inputs.map((t) => this.#collect(t, path, pathKey)),
        dtype,
      };
    }
    throw new ForgeError({ code: "internal", what: `${node.op.name} is inlined but can not be.` });
  }

  #gather(tensor: Tensor, path: readonly Tensor[], pathKey: string): Step {
    const [source, index] = tensor.node.inputs as readonly [Tensor, Tensor];
    const axis = tensor.node.attributes["axis"] as number;
    const { slot, layout } = this.#stored(source);
    const fixed = {
      shape: tensor.shape,
      strides: layout.strides.map((s, i) => (i === axis ? 0 : s)),
      offset: layout.offset,
    };
    const along = { stride: layout.strides[axis] ?? 0, size: layout.shape[axis] ?? 1 };
    const { dtype } = tensor;
    const position = this.#collect(index, path, pathKey);
    const leaf = this.leaves.push({ layout: replay(fixed, path), dtype, slot, along }) - 1;
    return { kind: "leaf", leaf, dtype, index: position };
  }

  /** A tensor in memory, through views. */
  #stored(tensor: Tensor): Operand {
    const views: Tensor[] = [];
    let base = this.#scope.canonical(tensor);
    for (;;) {
      const operand = this.#scope.operand(base);
      if (operand) return { slot: operand.slot, layout: replay(operand.layout, views) };
      if (base.node.op.kind !== "view") {
        throw new ForgeError({
          code: "internal",
          what: `${base.node.op.name} is gathered from but has no memory.`,
        });
      }
      views.unshift(base);
      base = this.#scope.canonical(base.node.inputs[0] as Tensor);
    }
  }
}

/** WGSL type of a dtype at a width. */
export function typeAt(dtype: DType | "bool", width: 1 | 4): string {
  return width === 1 ? dtype : `vec4<${dtype}>`;
}

/** Parameters of a generated kernel, gathered while its text is written. */
export class ParamFields {
  readonly fields: string[] = [];
  readonly values: ParamValue[] = [];

  /** An unsigned parameter. */
  u32(value: number): string {
    return this.#add("u32", value);
  }

  /** A scalar of any dtype; f16 travels as f32. */
  scalar(value: number, dtype: DType): string {
    if (dtype === "u32") return this.#add("u32", value >>> 0);
    if (dtype === "i32") return this.#add("i32", (value | 0) >>> 0);
    const name = this.#add("f32", { f32: value });
    return dtype === "f16" ? `f16(${name})` : name;
  }

  #add(type: string, stored: ParamValue): string {
    const name = `p${this.fields.length}`;
    this.fields.push(`${name}: ${type}`);
    this.values.push(stored);
    return `params.${name}`;
  }
}

/**
 * WGSL of `offset + Σ coordinate·stride`.
 *
 * Strides 0 and 1 are part of the text, others and the offset are parameters.
 */
export function indexText(
  strides: readonly number[],
  coordinates: readonly string[],
  offset: number,
  params: ParamFields,
): string {
  const terms: string[] = [];
  strides.forEach((stride, i) => {
    if (stride === 0) return;
    terms.push(stride === 1 ? `${coordinates[i]}` : `${coordinates[i]} * ${params.u32(stride)}`);
  });
  if (offset !== 0) terms.push(params.u32(offset));
  return terms.length ? terms.join(" + ") : "0u";
}

/** Statements that split a linear index into coordinates of `sizes`, outermost first. */
export function coordinateLines(
  index: string,
  names: readonly string[],
  sizes: readonly number[],
  params: ParamFields,
): string[] {
  if (names.length === 1) return [`let ${names[0]} = ${index};`];
  const lines: string[] = [];
  let rest = index;
  for (let i = names.length - 1; i > 0; i--) {
    const size = params.u32(sizes[i] ?? 1);
    lines.push(`let ${names[i]} = ${rest} % ${size};`);
    lines.push(`let ${names[i]}_rest = ${rest} / ${size};`);
    rest = `${names[i]}_rest`;
  }
  lines.push(`let ${names[0]} = ${rest};`);
  return lines;
}
