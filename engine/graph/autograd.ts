/**
 * Reverse-mode automatic differentiation on the graph: gradients are tensors like all others.
 */
import { ForgeError } from "../error.ts";
import { isFloat, isHeldOnly } from "../tensor/dtype.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { full, type Node, type Tensor } from "../tensor/tensor.ts";

/** How two gradients of one tensor are summed; installed by `engine/ops` (this layer knows no ops). */
let addTensors: ((a: Tensor, b: Tensor) => Tensor) | undefined;

/** Installs the sum of gradients. */
export function setGradientSum(add: (a: Tensor, b: Tensor) => Tensor): void {
  addTensors = add;
}

/** Options of {@link grad}. */
export interface GradOptions {
  /** Gradient of the loss itself. Default: ones; then the loss must have one element. */
  readonly seed?: Tensor;
  /** What to do for a tensor that the loss does not depend on. Default: zeros. */
  readonly unused?: "zeros" | "error";
}

/**
 * Gradients of `loss` with respect to `wrt`.
 *
 * Errors    `shape_mismatch` when the loss is no scalar and no seed is given; `dtype_mismatch` when it is no float;
 *           the same for a seed that does not fit; `gradient_missing` when the path runs through an op without a gradient;
 *           `dtype_unsupported` for a tensor of bf16 in `wrt`.
 */
export function grad(loss: Tensor, wrt: readonly Tensor[], options: GradOptions = {}): Tensor[] {
  if (!isFloat(loss.dtype)) {
    throw new ForgeError({
      code: "dtype_mismatch",
      what: "grad: the loss is no float.",
      got: `${formatShape(loss.shape)} ${loss.dtype}`,
      fix: "differentiate a f32 value",
    });
  }
  if (!options.seed && loss.size !== 1) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "grad: the loss has more than one element.",
      got: formatShape(loss.shape),
      fix: "reduce it (mean, sum), or pass `seed`, the gradient of the loss itself",
    });
  }
  if (options.seed) checkSeed(loss, options.seed);
  checkTrainable(wrt);
  const found = pullback([loss], [options.seed ?? full(loss.shape, 1, loss.dtype)], wrt);
  return wrt.map((t, i) => {
    const gradient = found[i];
    if (gradient) return gradient;
    if (options.unused === "error") {
      throw new ForgeError({
        code: "gradient_missing",
        what: `grad: the loss does not depend on ${t}.`,
        fix: "leave it out of `wrt`, or use { unused: 'zeros' }",
      });
    }
    return full(t.shape, 0, t.dtype);
  });
}

/**
 * Gradients with respect to `wrt` of a function whose outputs have the gradients `douts`; `undefined` means zero, in both.
 *
 * Errors    `gradient_missing` when the path runs through an op without a gradient.
 */
export function pullback(
  outputs: readonly Tensor[],
  douts: readonly (Tensor | undefined)[],
  wrt: readonly Tensor[],
): (Tensor | undefined)[] {
  const targets = new Set(wrt.map((t) => t.node));
  const needed = dependents(
    outputs.map((t) => t.node),
    targets,
  );
  const gradients = new Map<Node, (Tensor | undefined)[]>();
  outputs.forEach((output, i) => {
    const dout = douts[i];
    if (dout) put(gradients, output, dout);
  });
  const order = [...needed].sort((a, b) => b.id - a.id);
  for (const node of order) {
    const gradient = gradients.get(node);
    if (!gradient || node.op.kind === "source") continue;
    const isNeeded = (i: number): boolean => needed.has((node.inputs[i] as Tensor).node);
    if (!node.inputs.some((_, i) => isNeeded(i))) continue;
    if (!node.op.gradient) throw noGradient(node);
    const dins = node.op.gradient(node, gradient, isNeeded);
    node.inputs.forEach((input, i) => {
      const din = dins[i];
      if (din && isNeeded(i)) put(gradients, input, din);
    });
    if (!targets.has(node)) gradients.delete(node);
  }
  return wrt.map((t) => gradients.get(t.node)?.[t.output]);
}

function checkTrainable(wrt: readonly Tensor[]): void {
  const held = wrt.find((t) => isHeldOnly(t.dtype));
  if (!held) return;
  throw new ForgeError({
    code: "dtype_unsupported",
    what: "grad: what is held in bf16 has no gradient.",
    got: `${held}`,
    why: "bf16 holds weights that nobody trains: an update would be lost in its rounding",
    fix: "leave it out of `wrt`, or hold it in f32",
  });
}

function checkSeed(loss: Tensor, seed: Tensor): void {
  if (sameShape(loss.shape, seed.shape) && loss.dtype === seed.dtype) return;
  throw new ForgeError({
    code: loss.dtype === seed.dtype ? "shape_mismatch" : "dtype_mismatch",
    what: "grad: the seed does not fit the loss.",
    got: `seed ${formatShape(seed.shape)} ${seed.dtype} for ${formatShape(loss.shape)} ${loss.dtype}`,
    why: "the seed is the gradient of the loss, element by element",
    fix: "pass a seed of the loss's shape and dtype",
  });
}

/** Value and gradients of a function of tensors. */
export function valueAndGrad(
  fn: () => Tensor,
  wrt: readonly Tensor[],
  options: GradOptions = {},
): { value: Tensor; grads: Tensor[] } {
  const value = fn();
  return { value, grads: grad(value, wrt, options) };
}

/** Nodes between the outputs and the targets, both included. */
function dependents(outputs: readonly Node[], targets: ReadonlySet<Node>): Set<Node> {
  const reached = new Map<Node, boolean>();
  const stack: Node[] = [...outputs];
  while (stack.length) {
    const node = stack.at(-1) as Node;
    if (reached.has(node)) {
      stack.pop();
      continue;
    }
    const open = node.inputs.map((t) => t.node).filter((n) => !reached.has(n));
    if (open.length) {
      stack.push(...open);
      continue;
    }
    reached.set(node, targets.has(node) || node.inputs.some((t) => reached.get(t.node) === true));
    stack.pop();
  }
  return new Set([...reached].filter(([, isNeeded]) => isNeeded).map(([node]) => node));
}

function put(gradients: Map<Node, (Tensor | undefined)[]>, tensor: Tensor, gradient: Tensor): void {
  const list = gradients.get(tensor.node) ?? [];
  const before = list[tensor.output];
  list[tensor.output] = before ? plus(before, gradient) : gradient;
  gradients.set(tensor.node, list);
}

function plus(a: Tensor, b: Tensor): Tensor {
  const inside = b.node.op.plus?.(b, a) ?? a.node.op.plus?.(a, b);
  if (inside) return inside;
  if (!addTensors)
    throw new ForgeError({ code: "internal", what: "no gradient sum is installed." });
  return addTensors(a, b);
}

function noGradient(node: Node): ForgeError {
  return new ForgeError({
    code: "gradient_missing",
    what: `grad: ${node.op.name} has no gradient.`,
    got: node.inputs.map((t) => `${formatShape(t.shape)} ${t.dtype}`).join(" · "),
    fix: "stop the gradient before it with stopGradient(x), or use a differentiable op",
  });
}
