/**
 * Plans: a program with pipelines, buffers and bind groups made once, replayed with one pass and one submit.
 */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import type { Pipeline } from "../gpu/pipeline.ts";
import { expandShader } from "../gpu/shader.ts";
import { bytesOf } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { State } from "../tensor/state.ts";
import { PlanBuffers } from "./buffers.ts";
import type { KernelCall, Operand, Program, Slot } from "./kernel.ts";
import { lower, type Roots } from "./lower.ts";
import { type MemoryPlan, planBytes, planMemory } from "./memory.ts";
import {
  describePlan,
  type PlanReport,
  type ProfiledKernel,
  profilePlan,
  type Step,
} from "./report.ts";
import { accessOf, isWithin } from "./slot.ts";
import { type BufferPlace, type InputValue, writeHost } from "./transfer.ts";
import { settle } from "./tuner.ts";

/** A state's buffer as a plan has bound it. */
interface BoundState {
  readonly state: State;
  readonly moves: number;
  readonly buffer: GPUBuffer;
}

/** Who wants to know, while a call is submitted in parts, that what makes the values of states has been. */
export interface Watch {
  readonly states: readonly State[];
  /** What it submits is done before the rest of the call. */
  readonly onWritten: (state: State) => void;
}

/** Dispatches that are submitted together, and the states that have their values then. */
interface Part {
  readonly from: number;
  readonly to: number;
  readonly written: readonly State[];
}

/** A compiled program. Dispose it to free its memory. */
export class Plan implements Disposable {
  readonly device: Device;
  readonly program: Program;
  readonly memory: MemoryPlan;
  readonly steps: readonly Step[];
  /** Name in errors and reports. */
  readonly label: string;
  readonly #buffers: PlanBuffers;
  readonly #boundStates: readonly BoundState[];
  #isDisposed = false;

  private constructor(parts: {
    device: Device;
    label: string;
    program: Program;
    memory: MemoryPlan;
    steps: readonly Step[];
    buffers: PlanBuffers;
    states: readonly BoundState[];
  }) {
    this.device = parts.device;
    this.label = parts.label;
    this.program = parts.program;
    this.memory = parts.memory;
    this.steps = parts.steps;
    this.#buffers = parts.buffers;
    this.#boundStates = parts.states;
  }

  /**
   * Compiles what `roots` need.
   *
   * Errors    `plan_too_large` before anything is allocated; `out_of_memory`; `shader_invalid`.
   */
  static async make(device: Device, roots: Roots, label: string): Promise<Plan> {
    let { program, memory } = planned(device, roots, label);
    while (await settle(device)) ({ program, memory } = planned(device, roots, label));
    const pipelines = await Promise.all(program.calls.map((c) => compileCall(device, c)));
    const buffers = await PlanBuffers.make(device, program, memory, label);
    const steps = program.calls.map((call, i): Step => {
      const pipeline = pipelines[i] as Pipeline;
      const entries = [
        buffers.params(call, i),
        ...call.bindings.map((slot) => buffers.binding(slot)),
      ]
        .map((resource, binding) => ({ binding, resource }))
        .filter((e) => pipeline.bindings[e.binding] !== undefined);
      return {
        call,
        pipeline,
        group: device.gpu.createBindGroup({ label: call.label, layout: pipeline.layout, entries }),
      };
    });
    const states = program.slots.flatMap((slot): BoundState[] => {
      const { state } = slot;
      return state ? [{ state, moves: state.moves, buffer: buffers.place(slot).buffer }] : [];
    });
    return new Plan({
      device,
      label,
      program,
      memory,
      steps,
      buffers,
      states,
    });
  }

  /** False when a state has moved (see `State.flatten`) since the plan was made: compile again. */
  get isCurrent(): boolean {
    return this.#boundStates.every(
      ({ state, moves, buffer }) => state.moves === moves && state.buffer(this.device) === buffer,
    );
  }

  /** Bytes of the buffers that the plan owns (states are not among them). */
  get ownedBytes(): number {
    return this.#buffers.bytes;
  }

  /** Writes the inputs and replays all dispatches: one pass and one submit, or as many as a watch has them be. */
  run(inputs: readonly InputValue[], watch?: Watch): void {
    if (this.#isDisposed) {
      throw new ForgeError({
        code: "use_after_dispose",
        what: `plan "${this.label}" is disposed.`,
        fix: "dispose a function when it is not called any more",
      });
    }
    const { device } = this;
    device.check();
    const parts = watch ? this.#partsOf(watch) : [{ from: 0, to: this.steps.length, written: [] }];
    for (const { from, to, written } of parts) {
      const encoder = device.gpu.createCommandEncoder({ label: this.label });
      if (from === 0) this.#writeInputs(encoder, inputs);
      this.#encode(encoder, from, to);
      if (to === this.steps.length) this.#encodeCopies(encoder);
      device.submit(this.label, encoder.finish());
      for (const state of written) watch?.onWritten(state);
    }
  }

  /** Where output `i` lies. */
  output(i: number): BufferPlace {
    return this.#buffers.place((this.program.outputs[i] as Operand).slot);
  }

  /** Kernels, FLOPs, bytes and memory, without running. */
  describe(): PlanReport {
    return describePlan(this);
  }

  /** Runs once with a timestamp around each kernel. */
  profile(): Promise<ProfiledKernel[]> {
    return profilePlan(this);
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#buffers.destroy();
  }

  #encode(encoder: GPUCommandEncoder, from: number, to: number): void {
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, call } of this.steps.slice(from, to)) {
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(call.grid[0], call.grid[1], call.grid[2]);
    }
    pass.end();
  }

  /** The dispatches up to each at which a watched state has its value. */
  #partsOf({ states }: Watch): Part[] {
    const ends = new Map<number, State[]>();
    for (const state of states) {
      const end = this.#endOf(state);
      ends.set(end, [...(ends.get(end) ?? []), state]);
    }
    const all = this.steps.length;
    if (!ends.has(all)) ends.set(all, []);
    let from = 0;
    return [...ends]
      .sort(([a], [b]) => a - b)
      .map(([to, written]) => {
        const part = { from, to, written };
        from = to;
        return part;
      });
  }

  /** How many dispatches there are until a state has its value; all when it is copied at the end, or not assigned. */
  #endOf(state: State): number {
    const { slots, copies, calls } = this.program;
    const slot = slots.find((s) => s.state === state);
    if (!slot || copies.some(({ to }) => to.slot === slot)) return calls.length;
    const last = calls.findLastIndex((call) =>
      accessOf(call).writes.some((written) => isWithin(written, slot)),
    );
    return last < 0 ? calls.length : last + 1;
  }

  #writeInputs(encoder: GPUCommandEncoder, inputs: readonly InputValue[]): void {
    for (const slot of this.program.slots) {
      if (slot.inputIndex === undefined) continue;
      const value = inputs[slot.inputIndex];
      if (value !== undefined) this.#writeInput(encoder, slot, value);
    }
  }

  #writeInput(encoder: GPUCommandEncoder, slot: Slot, value: InputValue): void {
    const { buffer } = this.#buffers.place(slot);
    if (ArrayBuffer.isView(value)) {
      writeHost(this.device, buffer, value);
      return;
    }
    const from = value();
    const bytes = Math.ceil((slot.elements * bytesOf(slot.dtype)) / 4) * 4;
    encoder.copyBufferToBuffer(from.buffer, from.offsetBytes, buffer, 0, bytes);
  }

  #encodeCopies(encoder: GPUCommandEncoder): void {
    for (const copy of this.program.copies) {
      const bytes =
        Math.ceil((sizeOf(copy.from.layout.shape) * bytesOf(copy.from.slot.dtype)) / 4) * 4;
      if (bytes === 0) continue;
      const [from, to] = [this.#buffers.locate(copy.from), this.#buffers.locate(copy.to)];
      encoder.copyBufferToBuffer(from.buffer, from.offsetBytes, to.buffer, to.offsetBytes, bytes);
    }
  }
}

/** Lowers, and plans the memory. Errors: `plan_too_large`, `dtype_unsupported`. */
function planned(
  device: Device,
  roots: Roots,
  label: string,
): { program: Program; memory: MemoryPlan } {
  const program = lower(device, roots);
  checkF16(device, program, label);
  const kept = new Set(program.copies.map((c) => c.from.slot));
  const memory = planMemory(program.calls, kept, Math.min(device.maxBufferBytes, 2 ** 31));
  checkFits(device, program, memory, label);
  return { program, memory };
}

function checkF16(device: Device, program: Program, label: string): void {
  if (device.hasF16) return;
  const call = program.calls.find((c) => c.options?.usesF16 || /^enable f16;/m.test(c.source));
  if (!call) return;
  throw new ForgeError({
    code: "dtype_unsupported",
    what: `plan "${label}" computes in f16, which this device can not.`,
    got: `${call.label} on ${device.name}`,
    why: "the adapter or the device lacks the feature shader-f16",
    fix: "use f32: x.cast('f32') before the value is used; weights held in f16 are read all the same",
  });
}

async function compileCall(device: Device, call: KernelCall): Promise<Pipeline> {
  return device.pipelines.get(
    call.label,
    expandShader(call.name, call.source, call.options),
    call.entry,
  );
}

function checkFits(device: Device, program: Program, memory: MemoryPlan, label: string): void {
  const limit = device.maxBufferBytes;
  const largest = [...program.slots].sort((a, b) => b.sizeBytes - a.sizeBytes)[0];
  const bytes = planBytes(program, memory);
  const needed = bytes.temporary + bytes.other;
  const budget = device.memoryBudgetBytes;
  const tooLarge = largest !== undefined && largest.sizeBytes > limit;
  if (!tooLarge && (budget === undefined || device.liveBytes + needed <= budget)) return;
  throw new ForgeError({
    code: "plan_too_large",
    what: `plan "${label}" does not fit this adapter.`,
    got: tooLarge
      ? `"${largest.label}" alone needs ${largest.sizeBytes} bytes`
      : `it needs ${needed} bytes more on top of ${device.liveBytes} live ones`,
    why: tooLarge ? `the largest buffer is ${limit} bytes` : `the budget is ${budget} bytes`,
    fix: "lower the batch size or the sequence length, use checkpoint(), or accumulate gradients over smaller batches",
  });
}
