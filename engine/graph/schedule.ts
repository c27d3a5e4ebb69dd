/**
 * Scheduling: which tensors get memory, and which are computed inside the kernels that use them.
 *
 * Rules, in order:
 * (1) Sources have memory. Outputs, assigned values and what hand-written kernels read or write get memory.
 * (2) A map used by one kernel is computed inside it; used by several it gets memory, unless recomputing it costs no
 *     more than reading it (at most one load and cheap arithmetic).
 * (3) A costly map that a broadcast repeats gets memory.
 * (4) A kernel binds at most `maxLeaves` inputs: the largest part of a wider expression gets memory.
 * (5) A reduction or a kernel with a store hook whose single use is a map of the same elements ends with that map
 *     (its epilogue): only the map's value gets memory.
 */

import { sizeOf } from "../tensor/shape.ts";
import { fullOp, movementOf, type Node, Tensor } from "../tensor/tensor.ts";
import { gatherOp, iotaOp } from "./expression.ts";
import type { KernelOp, MapOp } from "./kernel.ts";

/** Identity of a tensor in a graph. */
export function keyOf(tensor: Tensor): string {
  return `${tensor.node.id}.${tensor.output}`;
}

/** A graph with common subexpressions merged and aliases gone. */
export class Graph {
  /** Nodes in order: inputs before users. */
  readonly nodes: readonly Node[];
  readonly #canonical = new Map<number, Node>();
  readonly #tensors = new Map<string, Tensor>();
  readonly #consumers = new Map<string, Node[]>();

  constructor(roots: readonly Tensor[]) {
    this.nodes = this.#merge(reachable(roots));
    for (const node of this.nodes) {
      for (const input of node.inputs) {
        const key = keyOf(this.canonical(input));
        const list = this.#consumers.get(key);
        if (list) list.push(node);
        else this.#consumers.set(key, [node]);
      }
    }
  }

  /** The tensor that stands for all equal ones. */
  canonical(tensor: Tensor): Tensor {
    if (tensor.node.op.kind === "alias")
      return this.canonical(tensor.node.inputs[tensor.output] as Tensor);
    const node = this.#canonical.get(tensor.node.id) ?? tensor.node;
    if (node === tensor.node) return tensor;
    const key = `${node.id}.${tensor.output}`;
    let result = this.#tensors.get(key);
    if (!result) {
      result = new Tensor(node, tensor.output);
      this.#tensors.set(key, result);
    }
    return result;
  }

  /** Nodes that use the tensor of a key, once per use. */
  consumers(key: string): readonly Node[] {
    return this.#consumers.get(key) ?? [];
  }

  #merge(nodes: readonly Node[]): Node[] {
    const identities = new Map<object, number>();
    const identity = (object: object): number => {
      let id = identities.get(object);
      if (id === undefined) {
        id = identities.size;
        identities.set(object, id);
      }
      return id;
    };
    const byText = new Map<string, Node>();
    const kept: Node[] = [];
    for (const node of nodes) {
      if (node.op.kind === "alias") continue;
      const inputs = node.inputs.map((t) => keyOf(this.canonical(t))).join();
      const types = node.outputs.map((o) => `${o.dtype}${o.shape.join("x")}`).join();
      const text = `${node.op.name}|${inputs}|${types}|${attributeText(node.attributes, identity)}`;
      const same = byText.get(text);
      if (same) {
        this.#canonical.set(node.id, same);
      } else {
        byText.set(text, node);
        this.#canonical.set(node.id, node);
        kept.push(node);
      }
    }
    return kept;
  }
}

/** Text of attributes; objects that are no plain data (states, host arrays) count by identity. */
export function attributeText(
  attributes: Readonly<Record<string, unknown>>,
  identity: (o: object) => number,
): string {
  return JSON.stringify(attributes, (_key, value: unknown) => {
    const isOpaque =
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.getPrototypeOf(value) !== Object.prototype;
    if (isOpaque) return `#${identity(value)}`;
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  });
}

function reachable(roots: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const stack = roots.map((t) => t.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** What {@link schedule} decides. */
export interface Schedule {
  /** Keys of tensors that get memory. */
  readonly stored: ReadonlySet<string>;
  /** Root key → the reduction or kernel output whose kernel computes and stores the root. */
  readonly anchors: ReadonlyMap<string, Tensor>;
  /** Keys of tensors computed inside another kernel's epilogue. */
  readonly absorbed: ReadonlySet<string>;
}

/** Limits and retries that shape a schedule. */
export interface ScheduleOptions {
  readonly maxLeaves: number;
  /** Keys that must have memory (found necessary by a failed attempt). */
  readonly forced: ReadonlySet<string>;
  /** Keys that can not take an epilogue (found by a failed attempt). */
  readonly unfused: ReadonlySet<string>;
}

/** Largest number of map steps computed inside one kernel: bounds the text that a driver compiles. */
const MAX_STEPS = 48;

/** Decides which tensors get memory. `roots` are outputs and assigned values, canonical. */
export function schedule(
  graph: Graph,
  roots: readonly Tensor[],
  options: ScheduleOptions,
): Schedule {
  const kept = new Set<string>([...options.forced, ...roots.map(keyOf)]);
  const stored = new Set<string>(kept);
  for (const node of graph.nodes) {
    if (node.op === gatherOp) storeBase(graph, graph.canonical(node.inputs[0] as Tensor), stored);
    if (node.op.kind === "kernel") {
      for (let o = 0; o < node.outputs.length; o++) stored.add(`${node.id}.${o}`);
      for (const input of node.inputs) storeBase(graph, graph.canonical(input), stored);
    } else if (node.op.kind === "reduce" || (node.op.kind === "source" && node.op !== iotaOp)) {
      stored.add(`${node.id}.0`);
    }
  }
  storeShared(graph, stored);
  storeWide(graph, stored, options.maxLeaves);
  return { stored, ...findAnchors(graph, stored, kept, options.unfused) };
}

/** A kernel reads a view through its base; the base needs memory. */
function storeBase(graph: Graph, tensor: Tensor, stored: Set<string>): void {
  let base = tensor;
  while (base.node.op.kind === "view" && !stored.has(keyOf(base))) {
    base = graph.canonical(base.node.inputs[0] as Tensor);
  }
  stored.add(keyOf(base));
}

function isInlinable(node: Node): boolean {
  return node.op.kind === "map" || node.op.kind === "view" || node.op === iotaOp;
}

/** Rules (2) and (3). Walks from users to inputs, carrying the set of kernels each value ends up in. */
function storeShared(graph: Graph, stored: Set<string>): void {
  const kernelsOf = new Map<string, Set<string>>();
  const repeated = new Set<string>();
  for (const node of [...graph.nodes].reverse()) {
    if (!isInlinable(node)) continue;
    const key = `${node.id}.0`;
    const kernels = new Set<string>();
    let isRepeated = false;
    for (const user of graph.consumers(key)) {
      const userKey = `${user.id}.0`;
      const isInside = isInlinable(user) && !stored.has(userKey);
      for (const k of isInside ? (kernelsOf.get(userKey) ?? []) : [userKey]) kernels.add(k);
      if (isInside && repeated.has(userKey)) isRepeated = true;
      if (user.op.kind === "view" && movementOf(user).kind === "expand") isRepeated = true;
    }
    kernelsOf.set(key, kernels);
    if (isRepeated) repeated.add(key);
    if (node.op.kind !== "map" || node.op === fullOp || stored.has(key)) continue;
    const cost = costOf(graph, node, stored);
    const isShared = kernels.size > 1 && (cost.leaves > 1 || cost.isCostly || cost.steps > 4);
    const isWasteful = isRepeated && (cost.isCostly || cost.leaves > 1 || cost.afterReduction);
    if (isShared || isWasteful) stored.add(key);
  }
}

interface Cost {
  readonly leaves: number;
  readonly steps: number;
  readonly isCostly: boolean;
  /** Whether a reduction or kernel output is right below: then the value can be its epilogue. */
  readonly afterReduction: boolean;
}

/** What computing a map again would cost, looking no further than a handful of steps. */
function costOf(graph: Graph, root: Node, stored: ReadonlySet<string>): Cost {
  const leaves = new Set<string>();
  let steps = 0;
  let isCostly = false;
  let afterReduction = false;
  const visit = (node: Node): void => {
    if (steps > MAX_STEPS) return;
    if (node.op.kind === "map" && node.op !== fullOp) {
      steps++;
      isCostly ||= (node.op as MapOp).isCostly === true;
    }
    for (const raw of node.inputs) {
      const input = graph.canonical(raw);
      if (isInlinable(input.node) && !stored.has(keyOf(input))) visit(input.node);
      else {
        leaves.add(keyOf(input));
        afterReduction ||= input.node.op.kind === "reduce" || input.node.op.kind === "kernel";
      }
    }
  };
  visit(root);
  return { leaves: leaves.size, steps, isCostly, afterReduction };
}

/** Rule (4). Walks from inputs to users, counting what each kernel would bind. */
function storeWide(graph: Graph, stored: Set<string>, maxLeaves: number): void {
  const leavesOf = new Map<string, Set<string>>();
  const stepsOf = new Map<string, number>();
  for (const node of graph.nodes) {
    if (node.op.kind === "source" || node.op.kind === "kernel") continue;
    const inputs = node.inputs.map((t) => graph.canonical(t));
    const gather = (): Set<string> => {
      const leaves = new Set<string>();
      for (const input of inputs) {
        const key = keyOf(input);
        if (stored.has(key)) leaves.add(key);
        else for (const l of leavesOf.get(key) ?? []) leaves.add(l);
      }
      return leaves;
    };
    const steps = (): number =>
      inputs.reduce((n, t) => n + (stored.has(keyOf(t)) ? 0 : (stepsOf.get(keyOf(t)) ?? 0)), 1);
    let leaves = gather();
    while (leaves.size > maxLeaves || steps() > MAX_STEPS) {
      const widest = inputs
        .filter((t) => !stored.has(keyOf(t)) && t.node.op !== iotaOp && t.node.op !== fullOp)
        .sort((a, b) => weight(b) - weight(a))[0];
      if (!widest) break;
      storeBase(graph, widest, stored);
      leaves = gather();
    }
    const key = `${node.id}.0`;
    leavesOf.set(key, leaves);
    stepsOf.set(key, steps());
  }
  function weight(tensor: Tensor): number {
    return (leavesOf.get(keyOf(tensor))?.size ?? 0) * 100 + (stepsOf.get(keyOf(tensor)) ?? 0);
  }
}

/** Rule (5). `kept` names values that are needed themselves. */
function findAnchors(
  graph: Graph,
  stored: Set<string>,
  kept: ReadonlySet<string>,
  unfused: ReadonlySet<string>,
): { anchors: Map<string, Tensor>; absorbed: Set<string> } {
  const anchors = new Map<string, Tensor>();
  const absorbed = new Set<string>();
  for (const node of graph.nodes) {
    const rootKey = `${node.id}.0`;
    if (node.op.kind !== "map" || node.op === fullOp || !stored.has(rootKey)) continue;
    const candidates: Tensor[] = [];
    const visit = (at: Node): void => {
      for (const raw of at.inputs) {
        const input = graph.canonical(raw);
        const op = input.node.op;
        if (kept.has(keyOf(input)) || graph.consumers(keyOf(input)).length !== 1) continue;
        if (
          op.kind === "reduce" ||
          (op.kind === "kernel" && (op as KernelOp).hasEpilogue && input.output === 0)
        ) {
          candidates.push(input);
        } else if (stored.has(keyOf(input))) {
        } else if (
          op.kind === "map" ||
          (op.kind === "view" && movementOf(input.node).kind === "reshape")
        ) {
          visit(input.node);
        }
      }
    };
    visit(node);
    const size = sizeOf(node.outputs[0]?.shape ?? []);
    const usable = candidates.filter(
      (c) => c.size === size && !unfused.has(keyOf(c)) && !absorbed.has(keyOf(c)),
    );
    const best = usable.find((c) => c.node.op.kind === "kernel") ?? usable[0];
    if (best && isFloatStore(best, node)) {
      anchors.set(rootKey, best);
      absorbed.add(keyOf(best));
      stored.delete(keyOf(best));
    }
  }
  return { anchors, absorbed };
}

/** Store hooks of hand-written kernels write f32. */
function isFloatStore(anchor: Tensor, root: Node): boolean {
  return anchor.node.op.kind === "reduce" || root.outputs[0]?.dtype === "f32";
}
