/** The order in which nodes are lowered. */
import { ForgeError } from "../error.ts";
import { type State, stateOf } from "../tensor/state.ts";
import type { Node, Tensor } from "../tensor/tensor.ts";
import { NeedsMemory } from "./expression.ts";
import type { KernelOp } from "./kernel.ts";
import { type Graph, keyOf, type Schedule } from "./schedule.ts";

/**
 * Nodes in order, but updates in place (and what depends on them) behind everything that reads the old values.
 *
 * Errors    {@link NeedsMemory} for a value of the old state that would be computed inside a kernel behind the update;
 *           `state_conflict` when such a kernel reads the old state itself.
 */
export function updatesLast(graph: Graph, { stored }: Pick<Schedule, "stored">): readonly Node[] {
  const late = new Set<Node>();
  const updated = new Set<State>();
  /** Whether the kernel that uses `tensor` reads an updated state for it. */
  const readsUpdated = (tensor: Tensor, seen = new Set<Node>()): boolean => {
    const value = graph.canonical(tensor);
    const state = stateOf(value);
    if (state) return updated.has(state.home.state);
    if (seen.has(value.node) || late.has(value.node) || stored.has(keyOf(value))) return false;
    seen.add(value.node);
    return value.node.inputs.some((t) => readsUpdated(t, seen));
  };
  for (const node of graph.nodes) {
    const updates = Object.values((node.op as KernelOp).updates ?? {});
    if (node.inputs.some((t) => late.has(graph.canonical(t).node))) {
      late.add(node);
      for (const input of node.inputs)
        if (readsUpdated(input)) refuse(node, graph.canonical(input));
    }
    if (updates.length) late.add(node);
    for (const i of updates) {
      const state = homeState(graph, node.inputs[i] as Tensor);
      if (state) updated.add(state);
    }
  }
  return late.size === 0 ? graph.nodes : [...graph.nodes.filter((n) => !late.has(n)), ...late];
}

function refuse(node: Node, value: Tensor): never {
  const state = stateOf(value);
  if (!state) throw new NeedsMemory(value);
  throw new ForgeError({
    code: "state_conflict",
    what: `${node.op.name} uses state "${state.name}" both before and after its update in one function.`,
    fix: "compute it before the update, or in the next call",
  });
}

/** The state that a tensor is, or is a view of. */
function homeState(graph: Graph, tensor: Tensor): State | undefined {
  let base = graph.canonical(tensor);
  while (base.node.op.kind === "view") base = graph.canonical(base.node.inputs[0] as Tensor);
  return stateOf(base)?.home.state;
}
