/** The order in which nodes are lowered. */
import { ForgeError } from "../error.ts";
import { type State, stateOf } from "../tensor/state.ts";
import { type Node, Tensor } from "../tensor/tensor.ts";
import { NeedsMemory } from "./expression.ts";
import type { KernelOp } from "./kernel.ts";
import { type Graph, keyOf, type Schedule } from "./schedule.ts";

/**
 * All nodes in the order in which they are lowered: as they were made, but updates in place behind everything that reads the
 * old values; and what only adds up in a state that nobody else reads, as soon as it can be, so that others need not wait for it.
 *
 * Errors    those of {@link updatesLast}.
 */
export function ordered(graph: Graph, plan: Pick<Schedule, "stored">): readonly Node[] {
  return sinksEarly(graph, updatesLast(graph, plan));
}

/**
 * Nodes in order, but updates in place (and what depends on them) behind everything that reads the old values.
 *
 * Errors    {@link NeedsMemory} for a value of the old state that would be computed inside a kernel behind the update;
 *           `state_conflict` when such a kernel reads the old state itself.
 */
function updatesLast(graph: Graph, { stored }: Pick<Schedule, "stored">): readonly Node[] {
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

/** Sinks, and the packing that is for them alone, directly behind the last of their inputs. */
function sinksEarly(graph: Graph, nodes: readonly Node[]): readonly Node[] {
  const early = new Set(sinksOf(graph, nodes));
  if (early.size === 0) return nodes;
  for (const node of nodes)
    if (node.op.name === "pack" && usersOf(graph, node).every((user) => early.has(user)))
      early.add(node);
  const missing = new Map<Node, Set<Node>>();
  const waiting = new Map<Node, Node[]>();
  for (const node of early) {
    const inputs = new Set(node.inputs.map((input) => graph.canonical(input).node));
    missing.set(node, inputs);
    for (const input of inputs) waiting.set(input, [...(waiting.get(input) ?? []), node]);
  }
  const order: Node[] = [];
  const emit = (node: Node): void => {
    order.push(node);
    for (const user of waiting.get(node) ?? []) {
      const left = missing.get(user);
      left?.delete(node);
      if (left?.size === 0) emit(user);
    }
  };
  for (const node of nodes) if (!early.has(node)) emit(node);
  return order;
}

/** Updates whose results nobody uses in the same plan, of states that nobody else reads. */
function sinksOf(graph: Graph, nodes: readonly Node[]): Node[] {
  const states = nodes.flatMap((node) => stateOf(new Tensor(node, 0)) ?? []);
  const isPrivate = (state: State, node: Node): boolean => {
    const home = state.home.state;
    const others = states.filter((s) => s !== state && s.home.state === home);
    const isOverlapped = others.length > 0 && (state === home || others.includes(home));
    const source = graph.canonical(state);
    return !isOverlapped && graph.consumers(keyOf(source)).every((user) => user === node);
  };
  return nodes.filter((node) => {
    const updates = Object.entries((node.op as KernelOp).updates ?? {});
    if (updates.length === 0 || usersOf(graph, node).length > 0) return false;
    return updates.every(([, input]) => {
      const state = stateOf(graph.canonical(node.inputs[input] as Tensor));
      return state !== undefined && isPrivate(state, node);
    });
  });
}

/** Nodes that use any output of a node. */
function usersOf(graph: Graph, node: Node): readonly Node[] {
  return node.outputs.flatMap((_, output) => graph.consumers(`${node.id}.${output}`));
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
