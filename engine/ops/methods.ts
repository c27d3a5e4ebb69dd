/** Ops as methods of tensors, for chaining: `x.matmul(w).add(b).tanh()`. */
import { setGradientSum } from "../graph/autograd.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { type Operand, Tensor } from "../tensor/tensor.ts";
import * as elementwise from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import * as reductions from "./reduce.ts";
import * as views from "./view.ts";

const unary = [
  "neg",
  "abs",
  "sign",
  "floor",
  "ceil",
  "round",
  "square",
  "sqrt",
  "rsqrt",
  "reciprocal",
  "exp",
  "log",
  "sin",
  "cos",
  "tanh",
  "sigmoid",
  "relu",
  "silu",
  "gelu",
  "softplus",
  "finiteMask",
  "stopGradient",
] as const;
const binary = [
  "add",
  "sub",
  "mul",
  "div",
  "maximum",
  "minimum",
  "pow",
  "remainder",
  "equal",
  "notEqual",
  "less",
  "lessEqual",
  "greater",
  "greaterEqual",
] as const;
const reducing = ["sum", "product", "max", "min", "mean"] as const;

type Unary = { [K in (typeof unary)[number]]: () => Tensor };
type Binary = { [K in (typeof binary)[number]]: (other: Operand) => Tensor };
type Reducing = {
  [K in (typeof reducing)[number]]: (
    axes?: reductions.Axes,
    options?: reductions.ReduceOptions,
  ) => Tensor;
};

/** The methods; each is the op of the same name with the tensor as first operand. */
export interface TensorMethods extends Unary, Binary, Reducing {
  matmul(other: Tensor): Tensor;
  reshape(shape: Shape): Tensor;
  permute(axes: readonly number[]): Tensor;
  transpose(a?: number, b?: number): Tensor;
  broadcastTo(shape: Shape): Tensor;
  slice(axis: number, start: number, end?: number): Tensor;
  squeeze(axis?: number): Tensor;
  unsqueeze(axis: number): Tensor;
  cast(dtype: DType): Tensor;
  clamp(low: Operand, high: Operand): Tensor;
  variance(axes?: reductions.Axes, options?: reductions.VarianceOptions): Tensor;
}

declare module "../tensor/tensor.ts" {
  interface Tensor extends TensorMethods {}
}

type AnyOp = (x: Tensor, ...rest: never[]) => Tensor;

function install(name: string, op: AnyOp): void {
  Object.defineProperty(Tensor.prototype, name, {
    configurable: true,
    writable: true,
    value(this: Tensor, ...rest: never[]): Tensor {
      return op(this, ...rest);
    },
  });
}

for (const name of [...unary, ...binary]) install(name, elementwise[name] as AnyOp);
for (const name of reducing) install(name, reductions[name] as AnyOp);
for (const name of [
  "reshape",
  "permute",
  "transpose",
  "broadcastTo",
  "slice",
  "squeeze",
  "unsqueeze",
] as const) {
  install(name, views[name] as AnyOp);
}
install("matmul", matmul as AnyOp);
install("cast", elementwise.cast as AnyOp);
install("clamp", elementwise.clamp as AnyOp);
install("variance", reductions.variance as AnyOp);
setGradientSum(elementwise.add);
