/**
 * Elementwise ops: one table of WGSL expressions and gradient rules. They are fused into generated kernels.
 */
import type { MapContext, MapOp } from "../graph/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { broadcastShapes } from "../tensor/shape.ts";
import { makeTensor, type Node, type Operand, Tensor, type TensorType } from "../tensor/tensor.ts";
import { align, type Domain, requireDomain } from "./operands.ts";
import { broadcastTo } from "./view.ts";

type Gradient = NonNullable<MapOp["gradient"]>;
type Rule = (dy: Tensor, inputs: readonly Tensor[], y: Tensor) => (Tensor | undefined)[];

function define(name: string, wgsl: MapOp["wgsl"], rule?: Rule, isCostly = false): MapOp {
  const gradient: Gradient = (node, [dy]) =>
    dy && rule ? rule(dy, node.inputs, new Tensor(node, 0)) : node.inputs.map(() => undefined);
  return rule
    ? { name, kind: "map", wgsl, gradient, isCostly }
    : { name, kind: "map", wgsl, isCostly };
}

function call(name: string): MapOp["wgsl"] {
  return (args) => `${name}(${args.join(", ")})`;
}

function infix(operator: string): MapOp["wgsl"] {
  return ([a, b]) => `(${a} ${operator} ${b})`;
}

function comparison(name: string, operator: string): MapOp {
  return define(
    name,
    ([a, b], { typeName }) =>
      `select(${typeName("u32")}(0u), ${typeName("u32")}(1u), ${a} ${operator} ${b})`,
  );
}

function constant(context: MapContext, text: string): string {
  return `${context.typeName(context.type.dtype)}(${text})`;
}

function make(op: MapOp, inputs: readonly Tensor[], dtype?: DType): Tensor {
  const like = inputs[0] as TensorType;
  return makeTensor(op, inputs, {}, { shape: like.shape, dtype: dtype ?? like.dtype });
}

function binary(op: MapOp, a: Operand, b: Operand): Tensor {
  const inputs = align(op.name, [a, b], cast);
  requireDomain(op.name, domainOf(op), inputs[0] as Tensor);
  return make(op, inputs);
}

function compare(op: MapOp, a: Operand, b: Operand): Tensor {
  return make(op, align(op.name, [a, b], cast), "u32");
}

function unary(op: MapOp, x: Operand): Tensor {
  const inputs = align(op.name, [x], cast);
  requireDomain(op.name, domainOf(op), inputs[0] as Tensor);
  return make(op, inputs);
}

const addOp = define("add", infix("+"), (dy) => [dy, dy]);
const subOp = define("sub", infix("-"), (dy) => [dy, neg(dy)]);
const mulOp = define("mul", infix("*"), (dy, [a, b]) => [
  mul(dy, b as Tensor),
  mul(dy, a as Tensor),
]);
const divOp = define("div", infix("/"), (dy, [, b], y) => [
  div(dy, b as Tensor),
  neg(div(mul(dy, y), b as Tensor)),
]);
/** WGSL's `max` and `min`; the gradient goes to the first operand on ties. */
const maximumOp = define("maximum", call("max"), (dy, [a, b]) =>
  choose(greaterEqual(a as Tensor, b as Tensor), dy),
);
const minimumOp = define("minimum", call("min"), (dy, [a, b]) =>
  choose(lessEqual(a as Tensor, b as Tensor), dy),
);

function choose(first: Tensor, dy: Tensor): Tensor[] {
  return [where(first, dy, 0), where(first, 0, dy)];
}

/** a ** b for a > 0 (a ≥ 0 when b > 0): WGSL's `pow` is undefined for negative bases. */
const powOp = define(
  "pow",
  call("pow"),
  (dy, [a, b], y) => [
    mul(dy, mul(b as Tensor, pow(a as Tensor, sub(b as Tensor, 1)))),
    mul(dy, mul(y, log(a as Tensor))),
  ],
  true,
);
const remainderOp = define("remainder", infix("%"), (dy) => [dy, undefined]);

const negOp = define(
  "neg",
  ([a]) => `(-${a})`,
  (dy) => [neg(dy)],
);
const absOp = define("abs", call("abs"), (dy, [x]) => [mul(dy, sign(x as Tensor))]);
const signOp = define("sign", call("sign"), () => [undefined]);
const floorOp = define("floor", call("floor"), () => [undefined]);
const ceilOp = define("ceil", call("ceil"), () => [undefined]);
/** Round half to even, as WGSL. */
const roundOp = define("round", call("round"), () => [undefined]);
const squareOp = define(
  "square",
  ([a]) => `(${a} * ${a})`,
  (dy, [x]) => [mul(mul(dy, x as Tensor), 2)],
);
const sqrtOp = define("sqrt", call("sqrt"), (dy, _x, y) => [div(mul(dy, 0.5), y)]);
/** Correctly rounded on every adapter: 1 / sqrt, since `inverseSqrt` may be 2 ulp off. */
const rsqrtOp = define(
  "rsqrt",
  ([a], c) => `(${constant(c, "1.0")} / sqrt(${a}))`,
  (dy, _x, y) => [mul(mul(dy, -0.5), mul(y, mul(y, y)))],
);
const reciprocalOp = define(
  "reciprocal",
  ([a], c) => `(${constant(c, "1.0")} / ${a})`,
  (dy, _x, y) => [neg(mul(dy, mul(y, y)))],
);
const expOp = define("exp", call("exp"), (dy, _x, y) => [mul(dy, y)], true);
const logOp = define("log", call("log"), (dy, [x]) => [div(dy, x as Tensor)], true);
const sinOp = define("sin", call("sin"), (dy, [x]) => [mul(dy, cos(x as Tensor))], true);
const cosOp = define("cos", call("cos"), (dy, [x]) => [neg(mul(dy, sin(x as Tensor)))], true);
/** Clamped to ±15 first, where tanh is ±1 in f32: some drivers overflow inside tanh. */
const tanhOp = define(
  "tanh",
  ([a], c) => `tanh(clamp(${a}, ${constant(c, "-15.0")}, ${constant(c, "15.0")}))`,
  (dy, _x, y) => [mul(dy, sub(1, square(y)))],
  true,
);
const sigmoidOp = define(
  "sigmoid",
  ([a], c) => sigmoidText(`${a}`, c),
  (dy, _x, y) => [mul(dy, mul(y, sub(1, y)))],
  true,
);
/** Its slope is the sigmoid, at 0 too, where that of max and abs would be one-sided. */
const softplusOp = define(
  "softplus",
  ([a], c) => `(max(${a}, ${constant(c, "0.0")}) + log(${constant(c, "1.0")} + exp(-abs(${a}))))`,
  (dy, [x]) => [mul(dy, sigmoid(x as Tensor))],
  true,
);
/**
 * Activations and their derivatives are ops of their own: the backward pass then reads the input once and computes the
 * rest again, instead of storing every step. Both gradients are written with s = sigmoid: tanh z = 2·sigmoid(2z) − 1.
 */
const siluOp = define(
  "silu",
  ([a], c) => `(${a} * ${sigmoidText(`${a}`, c)})`,
  (dy, [x]) => [mul(dy, unary(siluSlopeOp, x as Tensor))],
  true,
);
/** d/dx x·s(x) = s + x·s·(1 − s). */
const siluSlopeOp = define(
  "silu_slope",
  ([a], c) => {
    const s = sigmoidText(`${a}`, c);
    return `(${s} * (${constant(c, "1.0")} + ${a} * (${constant(c, "1.0")} - ${s})))`;
  },
  undefined,
  true,
);
/** x·s(2z), z = √(2/π)·(x + 0.044715·x³). */
const geluOp = define(
  "gelu",
  ([a], c) => `(${a} * ${sigmoidText(geluArgument(`${a}`, c), c)})`,
  (dy, [x]) => [mul(dy, unary(geluSlopeOp, x as Tensor))],
  true,
);
/** d/dx x·s(2z) = s + x·s·(1 − s)·2z′, 2z′ = 2√(2/π)·(1 + 3·0.044715·x²). */
const geluSlopeOp = define(
  "gelu_slope",
  ([a], c) => {
    const s = sigmoidText(geluArgument(`${a}`, c), c);
    const slope = `(${constant(c, "1.5957691216057308")} + ${constant(c, "0.21406224")} * ${a} * ${a})`;
    return `(${s} * (${constant(c, "1.0")} + ${a} * (${constant(c, "1.0")} - ${s}) * ${slope}))`;
  },
  undefined,
  true,
);

/** 2√(2/π)·(x + 0.044715·x³); 2√(2/π) = 1.5957691216…, times 0.044715 = 0.0713548163… */
function geluArgument(x: string, c: MapContext): string {
  return `(${x} * (${constant(c, "1.5957691216057308")} + ${constant(c, "0.07135481627159736")} * ${x} * ${x}))`;
}

/** 1 / (1 + e^−x), with the exponent kept finite. */
function sigmoidText(x: string, c: MapContext): string {
  const limit = constant(c, c.type.dtype === "f16" ? "10.0" : "80.0");
  return `(${constant(c, "1.0")} / (${constant(c, "1.0")} + exp(min(-${x}, ${limit}))))`;
}

const whereOp = define(
  "where",
  ([c, a, b], { typeName }) => `select(${b}, ${a}, ${c} != ${typeName("u32")}(0u))`,
  (dy, [c]) => [undefined, where(c as Tensor, dy, 0), where(c as Tensor, 0, dy)],
);
/** Identity in value, zero in gradient. */
const stopOp = define(
  "stopGradient",
  ([a]) => `${a}`,
  () => [undefined],
);
const castOp: MapOp = {
  name: "cast",
  kind: "map",
  readsHeld: [0],
  // a driver may drop a rounding that is undone at once, but not one that is asked for by name
  wgsl: ([a], { typeName, type, inputTypes: [from] }) =>
    type.dtype === "f16" && (from?.dtype === "f32" || from?.dtype === "bf16")
      ? `${typeName("f16")}(quantizeToF16(${a}))`
      : `${typeName(type.dtype)}(${a})`,
  gradient: (node: Node, [dy]) => {
    const from = (node.inputs[0] as Tensor).dtype;
    return [dy && (from === "f32" || from === "f16") ? cast(dy, from) : undefined];
  },
};
const bitcastOp: MapOp = {
  name: "bitcast",
  kind: "map",
  wgsl: ([a], { typeName, type }) => `bitcast<${typeName(type.dtype)}>(${a})`,
};

const FLOAT_OPS: ReadonlySet<MapOp> = new Set([
  ...[powOp, floorOp, ceilOp, roundOp, sqrtOp, rsqrtOp, reciprocalOp, expOp, logOp, sinOp, cosOp],
  ...[tanhOp, sigmoidOp, softplusOp],
]);
const SIGNED_OPS: ReadonlySet<MapOp> = new Set([negOp, signOp]);

function domainOf(op: MapOp): Domain {
  if (FLOAT_OPS.has(op)) return "float";
  return SIGNED_OPS.has(op) ? "signed" : "any";
}

const equalOp = comparison("equal", "==");
const notEqualOp = comparison("notEqual", "!=");
const lessOp = comparison("less", "<");
const lessEqualOp = comparison("lessEqual", "<=");
const greaterOp = comparison("greater", ">");
const greaterEqualOp = comparison("greaterEqual", ">=");
/** Tests bits, since WGSL lets implementations assume that NaN and infinity do not occur. */
const finiteMaskOp = define("finiteMask", ([a], { typeName }) => {
  const bits = `(bitcast<${typeName("u32")}>(${a}) & ${typeName("u32")}(0x7f800000u))`;
  return `select(${typeName("u32")}(0u), ${typeName("u32")}(1u), ${bits} != ${typeName("u32")}(0x7f800000u))`;
});

/** a + b, with broadcasting. */
export function add(a: Operand, b: Operand): Tensor {
  return binary(addOp, a, b);
}
/** a − b, with broadcasting. */
export function sub(a: Operand, b: Operand): Tensor {
  return binary(subOp, a, b);
}
/** a · b elementwise, with broadcasting. */
export function mul(a: Operand, b: Operand): Tensor {
  return binary(mulOp, a, b);
}
/** a / b elementwise, with broadcasting; integer division truncates. */
export function div(a: Operand, b: Operand): Tensor {
  return binary(divOp, a, b);
}
/** The larger of a and b; on ties the gradient goes to a. */
export function maximum(a: Operand, b: Operand): Tensor {
  return binary(maximumOp, a, b);
}
/** The smaller of a and b; on ties the gradient goes to a. */
export function minimum(a: Operand, b: Operand): Tensor {
  return binary(minimumOp, a, b);
}
/** a to the power b, for a > 0. */
export function pow(a: Operand, b: Operand): Tensor {
  return binary(powOp, a, b);
}
/** a − b·trunc(a / b): the sign is that of a. */
export function remainder(a: Operand, b: Operand): Tensor {
  return binary(remainderOp, a, b);
}
/** −x. */
export function neg(x: Operand): Tensor {
  return unary(negOp, x);
}
/** |x|; the gradient at 0 is 0. */
export function abs(x: Operand): Tensor {
  return unary(absOp, x);
}
/** −1, 0 or 1. */
export function sign(x: Operand): Tensor {
  return unary(signOp, x);
}
/** Largest integer ≤ x. */
export function floor(x: Operand): Tensor {
  return unary(floorOp, x);
}
/** Smallest integer ≥ x. */
export function ceil(x: Operand): Tensor {
  return unary(ceilOp, x);
}
/** Nearest integer; halves go to the even one. */
export function round(x: Operand): Tensor {
  return unary(roundOp, x);
}
/** x². */
export function square(x: Operand): Tensor {
  return unary(squareOp, x);
}
/** √x for x ≥ 0. */
export function sqrt(x: Operand): Tensor {
  return unary(sqrtOp, x);
}
/** 1 / √x for x > 0. */
export function rsqrt(x: Operand): Tensor {
  return unary(rsqrtOp, x);
}
/** 1 / x. */
export function reciprocal(x: Operand): Tensor {
  return unary(reciprocalOp, x);
}
/** eˣ. */
export function exp(x: Operand): Tensor {
  return unary(expOp, x);
}
/** Natural logarithm, for x > 0. */
export function log(x: Operand): Tensor {
  return unary(logOp, x);
}
/** Sine of x radians. */
export function sin(x: Operand): Tensor {
  return unary(sinOp, x);
}
/** Cosine of x radians. */
export function cos(x: Operand): Tensor {
  return unary(cosOp, x);
}
/** Hyperbolic tangent. */
export function tanh(x: Operand): Tensor {
  return unary(tanhOp, x);
}
/** Logistic sigmoid 1 / (1 + e^−x). */
export function sigmoid(x: Operand): Tensor {
  return unary(sigmoidOp, x);
}
/** max(x, 0). */
export function relu(x: Operand): Tensor {
  return maximum(x, 0);
}
/** x · sigmoid(x) (swish with β = 1; Ramachandran et al. 2017, arXiv:1710.05941). */
export function silu(x: Operand): Tensor {
  return unary(siluOp, x);
}
/** GELU in its tanh form: x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks & Gimpel 2016, arXiv:1606.08415, §2). */
export function gelu(x: Operand): Tensor {
  return unary(geluOp, x);
}
/** log(1 + eˣ), without overflow. */
export function softplus(x: Tensor): Tensor {
  return unary(softplusOp, x);
}
/** x kept within [low, high]; the gradient is 0 outside. */
export function clamp(x: Tensor, low: Operand, high: Operand): Tensor {
  return minimum(maximum(x, low), high);
}
/** a where the condition is not 0, else b. The condition is u32, as comparisons give it. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const [x, y] = align("where", [a, b], cast) as [Tensor, Tensor];
  const shape = broadcastShapes("where", [condition.shape, x.shape]);
  const c = condition.dtype === "u32" ? condition : notEqual(condition, 0);
  return makeTensor(
    whereOp,
    [broadcastTo(c, shape), broadcastTo(x, shape), broadcastTo(y, shape)],
    {},
    {
      shape,
      dtype: x.dtype,
    },
  );
}
/** 1 where a = b, else 0 (u32). */
export function equal(a: Operand, b: Operand): Tensor {
  return compare(equalOp, a, b);
}
/** 1 where a ≠ b, else 0 (u32). */
export function notEqual(a: Operand, b: Operand): Tensor {
  return compare(notEqualOp, a, b);
}
/** 1 where a < b, else 0 (u32). */
export function less(a: Operand, b: Operand): Tensor {
  return compare(lessOp, a, b);
}
/** 1 where a ≤ b, else 0 (u32). */
export function lessEqual(a: Operand, b: Operand): Tensor {
  return compare(lessEqualOp, a, b);
}
/** 1 where a > b, else 0 (u32). */
export function greater(a: Operand, b: Operand): Tensor {
  return compare(greaterOp, a, b);
}
/** 1 where a ≥ b, else 0 (u32). */
export function greaterEqual(a: Operand, b: Operand): Tensor {
  return compare(greaterEqualOp, a, b);
}
/** 1 where an f32 is neither NaN nor infinite, else 0 (u32). */
export function finiteMask(x: Tensor): Tensor {
  return make(finiteMaskOp, [cast(x, "f32")], "u32");
}
/** The same value, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return make(stopOp, [x]);
}
/** Conversion to another dtype: floats to integers truncate, f32 to f16 rounds. Errors: `dtype_unsupported` to bf16. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : make(castOp, [x], dtype);
}
/** The same 32 bits as another dtype. */
export function bitcast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : make(bitcastOp, [x], dtype);
}
