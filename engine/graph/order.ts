/** The order in which nodes are lowered. */
import { ForgeError } from "../error.ts";
import { type State, stateOf } from "../tensor/state.ts";
import type { Node, Tensor } from "../tensor/tensor.ts";
import type { KernelOp } from "./kernel.ts";
import type { Graph } from "./schedule.ts";

/**
 * Nodes in order, but updates in place (and what depends on them) behind everything that reads the old values.
 *
 * Errors    `state_conflict` when a value of a state from before its update is needed after it.
 */
export function updatesLast(graph: Graph): readonly Node[] {
  const late = new Set<Node>();
  const updated = new Set<State>();
  const homeState = (tensor: Tensor): State | undefined => {
    let base = graph.canonical(tensor);
    while (base.node.op.kind === "view") base = graph.canonical(base.node.inputs[0] as Tensor);
    return stateOf(base)?.home.state;
  };
  for (const node of graph.nodes) {
    const updates = Object.values((node.op as KernelOp).updates ?? {});
    if (node.inputs.some((t) => late.has(graph.canonical(t).node))) {
      late.add(node);
      for (const input of node.inputs) {
        const state = homeState(input);
        if (!state || !updated.has(state)) continue;
        throw new ForgeError({
          code: "state_conflict",
          what: `${node.op.name} uses state "${state.name}" both before and after its update in one function.`,
          fix: "compute it before the update, or in the next call",
        });
      }
    }
    if (updates.length) late.add(node);
    for (const i of updates) {
      const state = homeState(node.inputs[i] as Tensor);
      if (state) updated.add(state);
    }
  }
  return late.size === 0 ? graph.nodes : [...graph.nodes.filter((n) => !late.has(n)), ...late];
}
