/** Concatenation and padding: parts made in place inside one result. */
import { ForgeError } from "../error.ts";
import { Expression } from "../graph/expression.ts";
import type { KernelOp, LowerContext, Operand } from "../graph/kernel.ts";
import { mapKernel } from "../graph/map-kernel.ts";
import { promote } from "../tensor/dtype.ts";
import { contiguousStrides, formatShape, normalizeAxis } from "../tensor/shape.ts";
import { full, makeTensor, type Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { slice, unsqueeze } from "./view.ts";

/** Any layout is read in place by the copy. */
const takesAny = (): boolean => true;

function copyInto(
  context: LowerContext,
  label: string,
  from: Operand,
  to: Operand,
  like: Tensor,
): void {
  if (like.size === 0) return;
  const expression = Expression.ofLeaf({ ...from, dtype: like.dtype }, like);
  context.call(mapKernel(context.device, label, expression, to, like.dtype));
}

/** The part of an output that starts at `starts` and has the shape of `part`. */
function window(
  output: Operand,
  shape: readonly number[],
  starts: readonly number[],
  part: Tensor,
): Operand {
  const strides = contiguousStrides(shape);
  const offset = starts.reduce((o, s, i) => o + s * (strides[i] ?? 0), 0);
  return { slot: output.slot, layout: { shape: part.shape, strides, offset } };
}

const concatOp: KernelOp = {
  name: "concat",
  kind: "kernel",
  takesLayout: takesAny,
  lower: (context, node) => {
    const axis = node.attributes["axis"] as number;
    const shape = node.outputs[0]?.shape ?? [];
    let start = 0;
    node.inputs.forEach((part, i) => {
      const starts = shape.map((_, a) => (a === axis ? start : 0));
      copyInto(
        context,
        "concat",
        context.input(i),
        window(context.output(0), shape, starts, part),
        part,
      );
      start += part.shape[axis] ?? 0;
    });
  },
  gradient: (node, [dy]) => {
    const axis = node.attributes["axis"] as number;
    let start = 0;
    return node.inputs.map((part) => {
      const from = start;
      start += part.shape[axis] ?? 0;
      return dy && slice(dy, axis, from, start);
    });
  },
};

/** Tensors joined along an axis. Errors: `shape_mismatch` unless all other axes agree. */
export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  const first = parts[0];
  if (!first)
    throw new ForgeError({
      code: "argument_invalid",
      what: "concat: there is nothing to join.",
      fix: "pass one tensor or more",
    });
  const at = normalizeAxis("concat", axis, first.rank);
  for (const part of parts) {
    if (part.rank === first.rank && part.shape.every((s, i) => i === at || s === first.shape[i]))
      continue;
    throw new ForgeError({
      code: "shape_mismatch",
      what: "concat: shapes differ outside of the joined axis.",
      got: parts.map((p) => formatShape(p.shape)).join(" · "),
      why: `all axes but ${at} must agree`,
      fix: "reshape or slice the parts",
    });
  }
  if (parts.length === 1) return first;
  const dtype = promote(
    "concat",
    parts.map((p) => p.dtype),
  );
  const total = parts.reduce((n, p) => n + (p.shape[at] ?? 0), 0);
  const shape = first.shape.map((s, i) => (i === at ? total : s));
  return makeTensor(
    concatOp,
    parts.map((p) => cast(p, dtype)),
    { axis: at },
    { shape, dtype },
  );
}

/** Tensors of one shape joined along a new axis. */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
  return concat(
    parts.map((p) => unsqueeze(p, axis)),
    axis,
  );
}

const padOp: KernelOp = {
  name: "pad",
  kind: "kernel",
  takesLayout: takesAny,
  lower: (context, node) => {
    const [x] = node.inputs as readonly [Tensor];
    const shape = node.outputs[0]?.shape ?? [];
    const value = node.attributes["value"] as number;
    const starts = (node.attributes["amounts"] as readonly (readonly [number, number])[]).map(
      (a) => a[0],
    );
    const output = context.output(0);
    const fill = new Expression(full(shape, value, x.dtype), {
      canonical: (t) => t,
      operand: () => undefined,
    });
    context.call(mapKernel(context.device, "pad", fill, output, x.dtype));
    copyInto(context, "pad", context.input(0), window(output, shape, starts, x), x);
  },
  gradient: (node, [dy]) => {
    const [x] = node.inputs as readonly [Tensor];
    const amounts = node.attributes["amounts"] as readonly (readonly [number, number])[];
    if (!dy) return [undefined];
    const inner = amounts.reduce(
      (t, [before], axis) => slice(t, axis, before, before + (x.shape[axis] ?? 0)),
      dy,
    );
    return [inner];
  },
};

/** Zeros (or `value`) before and after each axis; `amounts[axis] = [before, after]`. */
export function pad(x: Tensor, amounts: readonly (readonly number[])[], value = 0): Tensor {
  const pairs = x.shape.map((_, i) => [amounts[i]?.[0] ?? 0, amounts[i]?.[1] ?? 0] as const);
  const isCount = (n: number): boolean => Number.isInteger(n) && n >= 0;
  if (amounts.length > x.rank || !pairs.every(([a, b]) => isCount(a) && isCount(b))) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "pad: the amounts do not fit the tensor.",
      got: `${JSON.stringify(amounts)} for ${formatShape(x.shape)}`,
      why: "an amount is how many elements to add before or after one axis",
      fix: "pass one pair of counts for each axis; use slice to cut",
    });
  }
  if (pairs.every(([a, b]) => a === 0 && b === 0)) return x;
  const shape = x.shape.map((s, i) => s + (pairs[i]?.[0] ?? 0) + (pairs[i]?.[1] ?? 0));
  return makeTensor(padOp, [x], { amounts: pairs, value }, { shape, dtype: x.dtype });
}
