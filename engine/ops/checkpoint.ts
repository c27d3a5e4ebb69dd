/** Activation checkpointing: intermediate values are computed again in the backward instead of being kept. */
import { pullback } from "../graph/autograd.ts";
import { full, makeNode, type Node, type Op, Tensor } from "../tensor/tensor.ts";
import { recomputed } from "./view.ts";

/**
 * Inputs: the outputs as computed, then the leaves: everything that the function used without having made it (its
 * arguments, states, closed-over values). Attributes: `count` of outputs.
 *
 * The gradient copies the nodes between leaves and outputs onto barriers of the leaves, and differentiates the copy. The
 * function itself is not called again, so what it does besides (assignments, host-side random numbers) happens once.
 */
const checkpointOp: Op = {
  name: "checkpoint",
  kind: "alias",
  gradient: (node, douts, isNeeded) => {
    const count = node.attributes["count"] as number;
    const leaves = node.inputs.slice(count);
    const barriers = leaves.map((leaf) => recomputed(leaf));
    const outputs = copyBetween(leaves, barriers, node.inputs.slice(0, count));
    const wanted = barriers.filter((_, i) => isNeeded(count + i));
    const found = pullback(outputs, douts, wanted);
    const gradients = new Map(wanted.map((barrier, i) => [barrier, found[i]]));
    const none = new Array<undefined>(count).fill(undefined);
    return [...none, ...barriers.map((barrier) => gradients.get(barrier))];
  },
};

/** What {@link checkpoint} takes: tensors to one tensor or several. */
type Differentiable = (...inputs: Tensor[]) => Tensor | Tensor[];

/**
 * The same function, whose intermediate values are not kept for the backward but computed again there: memory for time.
 *
 * Around each layer of a deep model it leaves one activation per layer in memory, for about a third more work. Values and
 * gradients stay the same. States that the function assigns are assigned once.
 *
 * Source    Chen et al. 2016, arXiv:1604.06174
 */
export function checkpoint<F extends Differentiable>(fn: F): F {
  const wrapped = (...inputs: Tensor[]): Tensor | Tensor[] => {
    const before = full([], 0).node.id;
    const result = fn(...inputs);
    const outputs = result instanceof Tensor ? [result] : result;
    const made = [...outputs, ...leavesOf(outputs, before)];
    const node = makeNode(checkpointOp, made, { count: outputs.length }, outputs);
    const named = outputs.map((_, i) => new Tensor(node, i));
    return result instanceof Tensor ? (named[0] as Tensor) : named;
  };
  // A function that takes and gives what F does.
  return wrapped as F;
}

/** Tensors that the outputs are made from and that are older than node `before`, each once. */
function leavesOf(outputs: readonly Tensor[], before: number): Tensor[] {
  const leaves = new Map<string, Tensor>();
  const seen = new Set<Node>();
  const stack = [...outputs];
  for (let tensor = stack.pop(); tensor; tensor = stack.pop()) {
    const { node } = tensor;
    if (node.id < before) leaves.set(`${node.id}.${tensor.output}`, tensor);
    else if (!seen.has(node)) {
      seen.add(node);
      stack.push(...node.inputs);
    }
  }
  return [...leaves.values()];
}

/** Copies of the outputs and of all nodes down to the leaves, made from the replacements of those. */
function copyBetween(
  leaves: readonly Tensor[],
  replacements: readonly Tensor[],
  outputs: readonly Tensor[],
): Tensor[] {
  const replacementOf = new Map(
    leaves.map((t, i) => [`${t.node.id}.${t.output}`, replacements[i] as Tensor]),
  );
  const copies = new Map<Node, Node>();
  const lookUp = (tensor: Tensor): Tensor => {
    const leaf = replacementOf.get(`${tensor.node.id}.${tensor.output}`);
    const copy = copies.get(tensor.node);
    return leaf ?? (copy ? new Tensor(copy, tensor.output) : tensor);
  };
  for (const node of between(outputs, replacementOf)) {
    copies.set(node, makeNode(node.op, node.inputs.map(lookUp), node.attributes, node.outputs));
  }
  return outputs.map(lookUp);
}

/** Nodes from the leaves (not included) to the outputs, inputs before users. */
function between(outputs: readonly Tensor[], leaves: ReadonlyMap<string, Tensor>): Node[] {
  const found = new Set<Node>();
  const stack = [...outputs];
  for (let tensor = stack.pop(); tensor; tensor = stack.pop()) {
    const { node } = tensor;
    const isSource = node.inputs.length === 0;
    if (isSource || found.has(node) || leaves.has(`${node.id}.${tensor.output}`)) continue;
    found.add(node);
    stack.push(...node.inputs);
  }
  return [...found].sort((a, b) => a.id - b.id);
}
