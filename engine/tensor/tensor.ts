/**
 * The lazy tensor: an immutable description of a value. Nothing runs until values are read.
 */
import { ForgeError } from "../error.ts";
import type { DType, HostArray } from "./dtype.ts";
import { decoded, dtypeOf, heldOnly, isHeldOnly, toHostArray } from "./dtype.ts";
import type { Movement } from "./layout.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** Shape and dtype of a tensor. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * How the graph treats a node.
 *
 * - `source`: a value that exists before the plan runs (host data, state, input, result of another plan)
 * - `view`: another layout of its input, no work
 * - `map`: one output element from the same element of each input; fused into generated kernels
 * - `reduce`: a map followed by a reduction over axes; generated
 * - `kernel`: one or more hand-written kernels
 * - `alias`: output `i` is input `i`; only the gradient differs. Graphs drop it before anything is scheduled
 */
export type OpKind = "source" | "view" | "map" | "reduce" | "kernel" | "alias";

/** An operation. Concrete kinds (`MapOp`, `KernelOp`, …) extend this in `engine/graph`. */
export interface Op {
  readonly name: string;
  readonly kind: OpKind;
  /** Inputs that may be of a dtype which is held only (bf16). Views take it anyway. */
  readonly readsHeld?: readonly number[];
  /**
   * Gradient rule: gradients of the inputs from those of the outputs. `undefined` in `douts` means zero; `undefined` in
   * the result means "no gradient flows to this input". `isNeeded` tells whether anybody asks for that of input `i`: rules
   * whose parts all come for free may ignore it. Absent when the op is not differentiable.
   */
  readonly gradient?: (
    node: Node,
    douts: readonly (Tensor | undefined)[],
    isNeeded: (input: number) => boolean,
  ) => (Tensor | undefined)[];
  /** `output + other` computed by the op itself, for ops whose kernel can add; gradients are summed with it. */
  readonly plus?: (output: Tensor, other: Tensor) => Tensor | undefined;
}

/** Attributes of a node: part of its identity, so plain data. */
export type Attributes = Readonly<Record<string, unknown>>;

/** One operation in the graph; it may have several outputs. */
export interface Node {
  /** Unique and increasing: inputs always have smaller ids. */
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly TensorType[];
}

let nextNodeId = 1;

/** Makes a node. Ops check shapes and dtypes before. Errors: `dtype_unsupported` where bf16 would be computed with. */
export function makeNode(
  op: Op,
  inputs: readonly Tensor[],
  attributes: Attributes,
  outputs: readonly TensorType[],
): Node {
  if (op.kind === "map" || op.kind === "reduce" || op.kind === "kernel") {
    const computed = [...inputs.filter((_, i) => !op.readsHeld?.includes(i)), ...outputs];
    const wrong = computed.find(({ dtype }) => isHeldOnly(dtype));
    if (wrong) throw heldOnly(op.name, `[${wrong.shape.join(", ")}] ${wrong.dtype}`);
  }
  return { id: nextNodeId++, op, inputs, attributes, outputs };
}

/** Makes a node with one output and returns that output. */
export function makeTensor(
  op: Op,
  inputs: readonly Tensor[],
  attributes: Attributes,
  type: TensorType,
): Tensor {
  return new Tensor(makeNode(op, inputs, attributes, [type]), 0);
}

/** Anything that ops accept as an operand: numbers become scalars of the other operand's dtype. */
export type Operand = Tensor | number;

/** What `Tensor.read` calls; set by `engine/graph`, which this layer must not know. */
export interface Evaluator {
  read(tensor: Tensor): Promise<HostArray>;
}

let evaluator: Evaluator | undefined;

/** Installs the evaluator behind `Tensor.read`. */
export function setEvaluator(value: Evaluator): void {
  evaluator = value;
}

/** Options of {@link Tensor.item}. */
export interface ItemOptions {
  /** Returns NaN and infinities instead of throwing. Default false. */
  readonly allowNonFinite?: boolean;
}

/** A lazy tensor: one output of a node. Methods for ops are added by `engine/ops/methods.ts`. */
export class Tensor implements TensorType {
  readonly node: Node;
  /** Which output of the node this is. */
  readonly output: number;
  readonly shape: Shape;
  readonly dtype: DType;

  constructor(node: Node, output: number) {
    const type = node.outputs[output];
    if (!type) {
      throw new ForgeError({ code: "internal", what: `${node.op.name} has no output ${output}.` });
    }
    this.node = node;
    this.output = output;
    this.shape = type.shape;
    this.dtype = type.dtype;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Computes the tensor and returns its elements in row-major order (f16 and bf16 as bit patterns). */
  read(): Promise<HostArray> {
    if (!evaluator) throw new ForgeError({ code: "internal", what: "no evaluator is installed." });
    return evaluator.read(this);
  }

  /**
   * Computes the tensor and returns its single element as a number.
   *
   * Errors    `shape_mismatch` when it has more than one; `non_finite` when it is NaN or infinite and that is not allowed.
   */
  async item(options: ItemOptions = {}): Promise<number> {
    if (this.size !== 1) {
      throw new ForgeError({
        code: "shape_mismatch",
        what: "item: the tensor has more than one element.",
        got: `[${this.shape.join(", ")}]`,
        fix: "use read(), or reduce it first",
      });
    }
    const value = decoded((await this.read())[0] ?? Number.NaN, this.dtype);
    if (Number.isFinite(value) || options.allowNonFinite) return value;
    throw new ForgeError({
      code: "non_finite",
      what: `item: the value of ${this.node.attributes["origin"] ?? this.node.op.name} is not finite.`,
      got: `${value} in ${this}`,
      why: "a loss or norm that is NaN or infinite spoils every parameter it updates",
      fix: "check the inputs, the learning rate, and divisions and logarithms near 0; or pass { allowNonFinite: true }",
    });
  }

  toString(): string {
    return `Tensor([${this.shape.join(", ")}] ${this.dtype} ${this.node.op.name})`;
  }
}

/** Host data: uploaded when a plan first needs it. Attributes: `data`. */
export const dataOp: Op = { name: "data", kind: "source" };
/** One number for every element. Attributes: `value`. It travels in a kernel's parameters, never in its text. */
export const fullOp: Op = { name: "full", kind: "map" };
/** Placeholder of a compiled function's argument. Attributes: `index`. */
export const inputOp: Op = { name: "input", kind: "source" };
/** A view of its input. Attributes: `movement`. Its gradient is installed by `engine/ops/view.ts`. */
export const viewOp: Op & { gradient?: Op["gradient"] } = { name: "view", kind: "view" };

/** The movement of a view node. */
export function movementOf(node: Node): Movement {
  return node.attributes["movement"] as Movement;
}

/** Nested arrays of numbers, outermost axis first. */
export type NestedNumbers = number | readonly NestedNumbers[];

/**
 * A tensor from host data.
 *
 * Typed arrays keep their dtype (a `Uint16Array` carries f16) unless another is named, to which their values are converted;
 * nested arrays give f32 and their own shape.
 * Errors    `shape_mismatch` for ragged arrays or a shape of another size.
 */
export function tensor(data: NestedNumbers | HostArray, shape?: Shape, dtype?: DType): Tensor {
  const host = ArrayBuffer.isView(data) ? { flat: data, shape: [data.length] } : flatten(data);
  const finalShape = shape ?? host.shape;
  if (sizeOf(finalShape) !== host.flat.length) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "tensor: the data does not fill the shape.",
      got: `${host.flat.length} elements for [${finalShape.join(", ")}]`,
      fix: "pass as many elements as the shape holds",
    });
  }
  const type = dtype ?? (ArrayBuffer.isView(host.flat) ? dtypeOf(host.flat) : "f32");
  const bits = toHostArray(host.flat, type);
  return makeTensor(dataOp, [], { data: bits }, { shape: finalShape, dtype: type });
}

function flatten(data: NestedNumbers): { flat: number[]; shape: number[] } {
  if (typeof data === "number") return { flat: [data], shape: [] };
  const parts = data.map((d) => flatten(d));
  const first = parts[0]?.shape ?? [];
  for (const part of parts) {
    if (part.shape.join() === first.join()) continue;
    throw new ForgeError({
      code: "shape_mismatch",
      what: "tensor: nested arrays are ragged.",
      got: `rows of shape [${first.join(", ")}] and [${part.shape.join(", ")}]`,
      fix: "make every row as long as the first",
    });
  }
  return { flat: parts.flatMap((p) => p.flat), shape: [data.length, ...first] };
}

/** A tensor whose elements are all `value`. */
export function full(shape: Shape, value: number, dtype: DType = "f32"): Tensor {
  return makeTensor(fullOp, [], { value }, { shape, dtype });
}
