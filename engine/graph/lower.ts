/**
 * Lowering: from a graph of tensors to a program of kernel calls over memory slots.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { bytesOf, type DType, type HostArray } from "../tensor/dtype.ts";
import { contiguous, isContiguous, type Layout, move } from "../tensor/layout.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type State, stateOp } from "../tensor/state.ts";
import { dataOp, inputOp, type Node, Tensor } from "../tensor/tensor.ts";
import { makeEpilogue, NotFusible } from "./epilogue.ts";
import { Expression, iotaOp, NeedsMemory, replay, type Scope } from "./expression.ts";
import { conflicts, isMovable, storeDirectly } from "./in-place.ts";
import type {
  Epilogue,
  KernelCall,
  KernelOp,
  LowerContext,
  Operand,
  Program,
  ReduceOp,
  Slot,
  SlotKind,
} from "./kernel.ts";
import { mapKernel } from "./map-kernel.ts";
import { ordered } from "./order.ts";
import { packingOf } from "./packing.ts";
import { reduceKernels } from "./reduce-kernel.ts";
import { Graph, keyOf, type Schedule, schedule } from "./schedule.ts";

/** What a plan computes. */
export interface Roots {
  readonly outputs: readonly Tensor[];
  readonly assignments: ReadonlyMap<State, Tensor>;
}

/**
 * Lowers a graph.
 *
 * A first attempt may find a view without a layout or an epilogue that does not fit; each such finding is a constraint
 * for the next attempt, so the loop ends.
 */
export function lower(device: Device, roots: Roots): Program {
  const tensors = [...roots.outputs, ...roots.assignments.values()];
  const graph = new Graph(tensors);
  const forced = new Set<string>();
  const unfused = new Set<string>();
  const maxLeaves = Math.min(7, device.limits.maxStorageBuffersPerShaderStage - 1);
  for (;;) {
    const canonical = tensors.map((t) => graph.canonical(t));
    const plan = schedule(graph, canonical, { maxLeaves, forced, unfused });
    try {
      return new Lowering(device, graph, plan, roots).run();
    } catch (error) {
      if (error instanceof NeedsMemory) forced.add(keyOf(graph.canonical(error.tensor)));
      else if (error instanceof NotFusible) unfused.add(keyOf(error.anchor));
      else throw error;
    }
  }
}

class Lowering {
  readonly #device: Device;
  readonly #graph: Graph;
  readonly #schedule: Schedule;
  readonly #roots: Roots;
  readonly #slots: Slot[] = [];
  readonly #calls: KernelCall[] = [];
  readonly #operands = new Map<string, Operand>();
  readonly #stateSlots = new Map<State, Slot>();
  readonly #snapshots = new Map<string, Operand>();
  #statusOperand: Operand | undefined;
  readonly #scope: Scope;
  readonly #outputKeys: ReadonlySet<string>;

  constructor(device: Device, graph: Graph, plan: Schedule, roots: Roots) {
    this.#device = device;
    this.#graph = graph;
    this.#schedule = plan;
    this.#roots = roots;
    this.#outputKeys = new Set(roots.outputs.map((t) => keyOf(graph.canonical(t))));
    this.#scope = {
      canonical: (t) => graph.canonical(t),
      operand: (t) => this.#operands.get(keyOf(t)),
    };
  }

  run(): Program {
    for (const node of ordered(this.#graph, this.#schedule)) this.#lowerNode(node);
    const copies: { from: Operand; to: Operand }[] = [];
    for (const [state, raw] of this.#roots.assignments) {
      const from = this.#final(raw);
      const to = this.#stateOperand(state);
      if (from.slot === to.slot) continue;
      if (!storeDirectly(this.#calls, from, to)) copies.push({ from, to });
    }
    const outputs = this.#roots.outputs.map((raw) => {
      const tensor = this.#graph.canonical(raw);
      const operand = this.#final(tensor);
      if (operand.slot.kind === "output") return operand;
      const to = this.#allocate(
        `output ${tensor.node.op.name}`,
        tensor.shape,
        tensor.dtype,
        "output",
      );
      copies.push({ from: operand, to });
      return to;
    });
    return { calls: this.#calls, slots: this.#slots, copies, outputs };
  }

  #lowerNode(node: Node): void {
    const key = `${node.id}.0`;
    if (node.op.kind === "kernel") {
      if (!this.#schedule.absorbed.has(key)) this.#lowerKernel(node, undefined);
      return;
    }
    if (!this.#schedule.stored.has(key)) return;
    if (node.op.kind === "source" && node.op !== iotaOp) {
      const operand = this.#source(node);
      this.#operands.set(key, operand);
      if (node.op === stateOp && this.#isRoot(key) && tensorOf(node).size > 0)
        this.#snapshot(node, operand);
      return;
    }
    const type = node.outputs[0] as { shape: Shape; dtype: DType };
    const anchor = this.#schedule.anchors.get(key);
    if (anchor?.node.op.kind === "kernel") this.#lowerKernel(anchor.node, node);
    else if (anchor) this.#lowerReduce(anchor.node, node);
    else if (node.op.kind === "reduce") this.#lowerReduce(node, undefined);
    else {
      const target = this.#allocate(node.op.name, type.shape, type.dtype, this.#kindOf(key));
      const expression = new Expression(tensorOf(node), this.#scope);
      this.#operands.set(key, target);
      if (sizeOf(type.shape) > 0) {
        this.#calls.push(mapKernel(this.#device, node.op.name, expression, target, type.dtype));
      }
    }
  }

  #source(node: Node): Operand {
    const { shape, dtype } = node.outputs[0] as { shape: Shape; dtype: DType };
    if (node.op === stateOp) return this.#stateOperand(node.attributes["state"] as State);
    if (node.op === inputOp) {
      const inputIndex = node.attributes["index"] as number;
      return this.#allocate(`input ${inputIndex}`, shape, dtype, "input", { inputIndex });
    }
    if (node.op === dataOp) {
      return this.#allocate("data", shape, dtype, "data", {
        data: node.attributes["data"] as HostArray,
      });
    }
    throw new ForgeError({ code: "internal", what: `unknown source ${node.op.name}.` });
  }

  /** A state inside a flat one has a slot inside that one's, so that kernels find it at offset 0 of their binding. */
  #stateOperand(state: State): Operand {
    let slot = this.#stateSlots.get(state);
    if (!slot) {
      const { state: home, offset } = state.home;
      slot = this.#allocate(`state ${state.name}`, state.shape, state.dtype, "state", {
        state,
      }).slot;
      if (home !== state) {
        const offsetBytes = offset * bytesOf(state.dtype);
        slot.inside = { slot: this.#stateOperand(home).slot, offsetBytes };
      }
      this.#stateSlots.set(state, slot);
    }
    return { slot, layout: contiguous(state.shape) };
  }

  #kindOf(key: string): SlotKind {
    return this.#outputKeys.has(key) ? "output" : "temporary";
  }

  #allocate(
    label: string,
    shape: Shape,
    dtype: DType,
    kind: SlotKind,
    more: Partial<Pick<Slot, "state" | "data" | "inputIndex">> = {},
  ): Operand {
    const elements = sizeOf(shape);
    const sizeBytes = Math.ceil((elements * bytesOf(dtype)) / 16) * 16;
    const packing = packingOf(dtype, this.#device);
    const id = this.#slots.length;
    const slot: Slot = { id, label, kind, dtype, packing, elements, sizeBytes, ...more };
    this.#slots.push(slot);
    return { slot, layout: contiguous(shape) };
  }

  /** Adds calls. Errors: {@link NotFusible} when `anchor`, with its epilogue, binds more buffers than a kernel may. */
  #emit(anchor: Node | undefined, ...calls: readonly KernelCall[]): void {
    const most = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (anchor && calls.some((c) => c.bindings.length > most))
      throw new NotFusible(tensorOf(anchor));
    this.#calls.push(...calls);
  }

  #lowerReduce(node: Node, root: Node | undefined): void {
    const op = node.op as ReduceOp;
    const input = this.#graph.canonical(node.inputs[0] as Tensor);
    const kept = node.outputs[0]?.shape ?? [];
    const result = root ?? node;
    const type = result.outputs[0] as { shape: Shape; dtype: DType };
    const body = new Expression(input, this.#scope);
    const anchored: Scope = { ...this.#scope, anchor: tensorOf(node) };
    const after = new Expression(tensorOf(result), anchored);
    // the epilogue is seen over the reduction's own (kept) axes
    for (const [i, leaf] of after.leaves.entries()) {
      const layout = move(leaf.layout, { kind: "reshape", shape: kept });
      if (!layout) throw new NotFusible(tensorOf(node));
      after.leaves[i] = { ...leaf, layout };
    }
    const key = `${result.id}.0`;
    const target = this.#allocate(op.name, type.shape, type.dtype, this.#kindOf(key));
    this.#operands.set(key, target);
    if (sizeOf(type.shape) === 0) return;
    this.#emit(
      root && node,
      ...reduceKernels(
        this.#device,
        {
          label: root ? `${op.name}+${root.op.name}` : op.name,
          kind: op.reduction,
          shape: input.shape,
          axes: node.attributes["axes"] as readonly number[],
          dtype: input.dtype,
          body,
          epilogue: after,
          target: { slot: target.slot, layout: contiguous(kept) },
          targetDtype: type.dtype,
        },
        (elements, dtype) => this.#allocate("partial", [elements], dtype, "temporary"),
      ),
    );
  }

  #lowerKernel(node: Node, root: Node | undefined): void {
    const op = node.op as KernelOp;
    const graph = this.#graph;
    const outputs = new Map<number, Operand>();
    let epilogue: Epilogue | undefined;
    const rootType = root?.outputs[0];
    const outputOperand = (i: number): Operand => {
      let operand = outputs.get(i);
      if (operand) return operand;
      const type = node.outputs[i] as { shape: Shape; dtype: DType };
      const updated = op.updates?.[i];
      if (updated !== undefined) {
        operand = this.#operandOf(graph.canonical(node.inputs[updated] as Tensor), true);
      } else {
        const isRoot = i === 0 && root !== undefined && rootType !== undefined;
        const key = isRoot ? `${root.id}.0` : `${node.id}.${i}`;
        const made = this.#allocate(
          op.name,
          type.shape,
          isRoot ? rootType.dtype : type.dtype,
          this.#kindOf(key),
        );
        operand = made;
        this.#operands.set(
          key,
          isRoot ? { slot: made.slot, layout: contiguous(rootType.shape) } : made,
        );
      }
      if (updated !== undefined) this.#operands.set(`${node.id}.${i}`, operand);
      outputs.set(i, operand);
      return operand;
    };
    if (root) {
      const anchor = tensorOf(node);
      const expression = new Expression(tensorOf(root), { ...this.#scope, anchor });
      epilogue = makeEpilogue(expression, anchor, outputOperand(0));
    }
    const inputs = node.inputs.map((t, i) => this.#kernelInput(op, graph.canonical(t), i));
    const context: LowerContext = {
      device: this.#device,
      input: (i) => inputs[i] as Operand,
      output: outputOperand,
      isUsed: (i) =>
        graph.consumers(`${node.id}.${i}`).length > 0 || this.#isRoot(`${node.id}.${i}`),
      scratch: (label, elements, dtype = "f32") =>
        this.#allocate(label, [elements], dtype, "temporary"),
      constant: (label, data) =>
        this.#allocate(label, [data.length], data instanceof Float32Array ? "f32" : "u32", "data", {
          data,
        }),
      status: () => this.#status(),
      epilogue,
      call: (call) => this.#emit(root && node, call),
    };
    if (op.name === "pack") {
      this.#pack(node, inputs);
      return;
    }
    op.lower(context, node);
    node.outputs.forEach((_, i) => {
      if (context.isUsed(i)) outputOperand(i);
    });
  }

  #isRoot(key: string): boolean {
    if (this.#outputKeys.has(key)) return true;
    for (const t of this.#roots.assignments.values())
      if (keyOf(this.#graph.canonical(t)) === key) return true;
    return false;
  }

  #status(): Operand {
    this.#statusOperand ??= this.#allocate("status", [1], "u32", "status");
    return this.#statusOperand;
  }

  /** A kernel's input: in place when the op takes its layout, else copied into a contiguous slot (in f32 what is packed). */
  #kernelInput(op: KernelOp, tensor: Tensor, index: number): Operand {
    const operand = this.#operandOf(tensor, false);
    if (operand) {
      const isPlain = isContiguous(operand.layout) && operand.layout.offset === 0;
      if (isPlain || op.takesLayout?.(index, operand.layout)) return operand;
    }
    const dtype = packingOf(tensor.dtype, this.#device) ? "f32" : tensor.dtype;
    const copy = this.#allocate(`${op.name} input ${index}`, tensor.shape, dtype, "temporary");
    const expression = new Expression(tensor, this.#scope);
    if (tensor.size > 0) this.#calls.push(mapKernel(this.#device, "copy", expression, copy, dtype));
    return copy;
  }

  #operandOf(tensor: Tensor, isRequired: true): Operand;
  #operandOf(tensor: Tensor, isRequired: boolean): Operand | undefined;
  #operandOf(tensor: Tensor, isRequired: boolean): Operand | undefined {
    const path: Tensor[] = [];
    let base = tensor;
    while (!this.#operands.has(keyOf(base)) && base.node.op.kind === "view") {
      path.unshift(base);
      base = this.#graph.canonical(base.node.inputs[0] as Tensor);
    }
    const start = this.#operands.get(keyOf(base));
    if (!start) {
      throw new ForgeError({
        code: "internal",
        what: `${base.node.op.name} has no memory although a kernel reads it.`,
      });
    }
    try {
      return { slot: start.slot, layout: replay(start.layout, path) };
    } catch (error) {
      if (!(error instanceof NeedsMemory) || isRequired) throw error;
      return undefined;
    }
  }

  /** Lays inputs out one behind the other; each is made in place where nothing speaks against it. */
  #pack(node: Node, inputs: readonly Operand[]): void {
    const offsets = node.attributes["offsets"] as readonly number[];
    const type = node.outputs[0] as { shape: Shape; dtype: DType };
    const target = this.#allocate("pack", type.shape, type.dtype, "persistent");
    this.#operands.set(`${node.id}.0`, target);
    inputs.forEach((from, i) => {
      const offset = offsets[i] ?? 0;
      // a part that comes twice would be read from and written to one buffer
      const isAlone = inputs.every((other, j) => j === i || other.slot !== from.slot);
      if (isAlone && isMovable(from) && !conflicts(this.#calls, from.slot, target.slot)) {
        from.slot.inside = { slot: target.slot, offsetBytes: offset * bytesOf(type.dtype) };
        return;
      }
      const flat: Layout = { ...contiguous(from.layout.shape), offset };
      const source = this.#graph.canonical(node.inputs[i] as Tensor);
      const expression = Expression.ofLeaf({ ...from, dtype: type.dtype }, source);
      this.#calls.push(
        mapKernel(
          this.#device,
          "pack",
          expression,
          { slot: target.slot, layout: flat },
          type.dtype,
        ),
      );
    });
  }

  /** A state's value as it was before the plan, kept aside for outputs and for other states. */
  #snapshot(node: Node, from: Operand): void {
    const tensor = tensorOf(node);
    const copy = this.#allocate("snapshot", tensor.shape, tensor.dtype, "temporary");
    const expression = Expression.ofLeaf({ ...from, dtype: tensor.dtype }, tensor);
    this.#calls.push(mapKernel(this.#device, "snapshot", expression, copy, tensor.dtype));
    this.#snapshots.set(`${node.id}.0`, copy);
  }

  /** Where a root's value lies when the calls are done. */
  #final(raw: Tensor): Operand {
    const key = keyOf(this.#graph.canonical(raw));
    return (this.#snapshots.get(key) ?? this.#operands.get(key)) as Operand;
  }
}

function tensorOf(node: Node): Tensor {
  return new Tensor(node, 0);
}
