/**
 * Plans: a program with pipelines, buffers and bind groups made once, replayed with one pass and one submit.
 */
import { ForgeError } from "../error.ts";
import { BufferUsage, OFFSET_ALIGNMENT } from "../gpu/constants.ts";
import type { Device } from "../gpu/device.ts";
import type { Pipeline } from "../gpu/pipeline.ts";
import { expandShader } from "../gpu/shader.ts";
import { bytesOf, type HostArray } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
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
import { homeOf, offsetInHome } from "./slot.ts";
import { settle } from "./tuner.ts";

const STORAGE = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

/** A value to write into an input before a replay: host data, or a piece of a buffer. */
export type InputValue = HostArray | { readonly buffer: GPUBuffer; readonly offsetBytes: number };

/** A state's buffer as a plan has bound it. */
interface BoundState {
  readonly state: State;
  readonly moves: number;
  readonly buffer: GPUBuffer;
}

/** A compiled program. Dispose it to free its memory. */
export class Plan implements Disposable {
  readonly device: Device;
  readonly program: Program;
  readonly memory: MemoryPlan;
  readonly steps: readonly Step[];
  /** Name in errors and reports. */
  readonly label: string;
  readonly #buffers: Map<Slot, GPUBuffer>;
  readonly #owned: readonly GPUBuffer[];
  readonly #boundStates: readonly BoundState[];
  #isDisposed = false;

  private constructor(parts: {
    device: Device;
    label: string;
    program: Program;
    memory: MemoryPlan;
    steps: readonly Step[];
    buffers: Map<Slot, GPUBuffer>;
    owned: readonly GPUBuffer[];
    states: readonly BoundState[];
  }) {
    this.device = parts.device;
    this.label = parts.label;
    this.program = parts.program;
    this.memory = parts.memory;
    this.steps = parts.steps;
    this.#buffers = parts.buffers;
    this.#owned = parts.owned;
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
    const { buffers, owned } = await allocate(device, program, memory, label);
    const params = uploadParams(device, program.calls, label);
    const steps = program.calls.map((call, i): Step => {
      const pipeline = pipelines[i] as Pipeline;
      const size = Math.max(16, Math.ceil(call.params.byteLength / 16) * 16);
      const uniform = {
        binding: 0,
        resource: { buffer: params.buffer, offset: params.offsets[i] ?? 0, size },
      };
      const storage = call.bindings.map((slot, b) => ({
        binding: b + 1,
        resource: bindingOf(slot, buffers),
      }));
      const entries = [uniform, ...storage].filter(
        (e) => pipeline.bindings[e.binding] !== undefined,
      );
      return {
        call,
        pipeline,
        group: device.gpu.createBindGroup({ label: call.label, layout: pipeline.layout, entries }),
      };
    });
    const states = program.slots.flatMap((slot): BoundState[] => {
      const { state } = slot;
      return state ? [{ state, moves: state.moves, buffer: buffers.get(slot) as GPUBuffer }] : [];
    });
    return new Plan({
      device,
      label,
      program,
      memory,
      steps,
      buffers,
      owned: [...owned, params.buffer],
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
    return this.#owned.reduce((n, b) => n + b.size, 0);
  }

  /** Writes the inputs and replays all dispatches: one pass, one submit. */
  run(inputs: readonly InputValue[]): void {
    if (this.#isDisposed) {
      throw new ForgeError({
        code: "use_after_dispose",
        what: `plan "${this.label}" is disposed.`,
        fix: "dispose a function when it is not called any more",
      });
    }
    const { device } = this;
    device.check();
    const encoder = device.gpu.createCommandEncoder({ label: this.label });
    for (const slot of this.program.slots) {
      if (slot.inputIndex === undefined) continue;
      const value = inputs[slot.inputIndex];
      if (value !== undefined) this.#writeInput(encoder, slot, value);
    }
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, call } of this.steps) {
      pass.setPipeline(pipeline.gpu);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(call.grid[0], call.grid[1], call.grid[2]);
    }
    pass.end();
    this.#encodeCopies(encoder);
    device.submit(this.label, encoder.finish());
  }

  /** The buffer and byte offset of output `i`. */
  output(i: number): { readonly buffer: GPUBuffer; readonly offsetBytes: number } {
    const operand = this.program.outputs[i] as Operand;
    return { buffer: this.#buffers.get(operand.slot) as GPUBuffer, offsetBytes: 0 };
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
    for (const buffer of this.#owned) this.device.destroyBuffer(buffer);
  }

  #writeInput(encoder: GPUCommandEncoder, slot: Slot, value: InputValue): void {
    const buffer = this.#buffers.get(slot) as GPUBuffer;
    if ("buffer" in value && "offsetBytes" in value && !ArrayBuffer.isView(value)) {
      const bytes = Math.ceil((slot.elements * bytesOf(slot.dtype)) / 4) * 4;
      encoder.copyBufferToBuffer(value.buffer, value.offsetBytes, buffer, 0, bytes);
    } else {
      writeHost(this.device, buffer, value as HostArray);
    }
  }

  #encodeCopies(encoder: GPUCommandEncoder): void {
    for (const { from, to } of this.program.copies) {
      const bytes = Math.ceil((sizeOf(from.layout.shape) * bytesOf(from.slot.dtype)) / 4) * 4;
      if (bytes === 0) continue;
      encoder.copyBufferToBuffer(
        this.#buffers.get(homeOf(from.slot)) as GPUBuffer,
        this.#byteOffset(from),
        this.#buffers.get(homeOf(to.slot)) as GPUBuffer,
        this.#byteOffset(to),
        bytes,
      );
    }
  }

  #byteOffset(operand: Operand): number {
    const home = homeOf(operand.slot);
    const placed = this.memory.placements.get(home)?.offsetBytes ?? 0;
    return (
      placed + offsetInHome(operand.slot) + operand.layout.offset * bytesOf(operand.slot.dtype)
    );
  }
}

/** Lowers, and plans the memory. Errors: `plan_too_large`. */
function planned(
  device: Device,
  roots: Roots,
  label: string,
): { program: Program; memory: MemoryPlan } {
  const program = lower(device, roots);
  const kept = new Set(program.copies.map((c) => c.from.slot));
  const memory = planMemory(program.calls, kept, Math.min(device.maxBufferBytes, 2 ** 31));
  checkFits(device, program, memory, label);
  return { program, memory };
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

async function allocate(
  device: Device,
  program: Program,
  memory: MemoryPlan,
  label: string,
): Promise<{ buffers: Map<Slot, GPUBuffer>; owned: GPUBuffer[] }> {
  const separate = program.slots.filter(
    (s) => !s.inside && !["temporary", "state", "status"].includes(s.kind),
  );
  const requests = [
    ...memory.arenaBytes.map((sizeBytes, i) => ({
      label: `${label} arena ${i}`,
      sizeBytes,
      usage: STORAGE,
    })),
    ...separate.map((s) => ({
      label: `${label} ${s.label}`,
      sizeBytes: s.sizeBytes,
      usage: STORAGE,
    })),
  ];
  const owned = await device.createBuffers(requests);
  const buffers = new Map<Slot, GPUBuffer>();
  for (const slot of program.slots) {
    if (slot.state) buffers.set(slot, slot.state.buffer(device));
    if (slot.kind === "status") buffers.set(slot, device.statusBuffer);
    const placed = memory.placements.get(slot);
    if (placed) buffers.set(slot, owned[placed.arena] as GPUBuffer);
  }
  separate.forEach((slot, i) => {
    const buffer = owned[memory.arenaBytes.length + i] as GPUBuffer;
    buffers.set(slot, buffer);
    if (slot.data) writeHost(device, buffer, slot.data);
  });
  // bindings of slots inside others start at their own offset
  for (const slot of program.slots) {
    const buffer = buffers.get(homeOf(slot));
    if (!buffer) continue;
    const offset = (memory.placements.get(homeOf(slot))?.offsetBytes ?? 0) + offsetInHome(slot);
    buffers.set(slot, buffer);
    offsets.set(slot, offset);
  }
  return { buffers, owned };
}

/** Byte offset of each slot's binding. */
const offsets = new WeakMap<Slot, number>();

function bindingOf(slot: Slot, buffers: Map<Slot, GPUBuffer>): GPUBufferBinding {
  const buffer = buffers.get(slot) as GPUBuffer;
  const offset = offsets.get(slot) ?? 0;
  return { buffer, offset, size: Math.min(buffer.size - offset, Math.max(16, slot.sizeBytes)) };
}

function uploadParams(
  device: Device,
  calls: readonly KernelCall[],
  label: string,
): { buffer: GPUBuffer; offsets: number[] } {
  let size = 0;
  const starts = calls.map((call) => {
    const at = size;
    size += Math.ceil(Math.max(16, call.params.byteLength) / OFFSET_ALIGNMENT) * OFFSET_ALIGNMENT;
    return at;
  });
  const words = new Uint32Array(Math.max(4, size / 4));
  calls.forEach((call, i) => {
    words.set(call.params, (starts[i] ?? 0) / 4);
  });
  const buffer = device.createBuffer({
    label: `${label} params`,
    sizeBytes: words.byteLength,
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  device.gpu.queue.writeBuffer(buffer, 0, words);
  return { buffer, offsets: starts };
}

/** Writes host data; lengths that are no multiple of 4 bytes (odd f16 counts) are padded. */
export function writeHost(device: Device, buffer: GPUBuffer, data: HostArray): void {
  if (data.byteLength === 0) return;
  if (data.byteLength % 4 === 0) {
    device.gpu.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    return;
  }
  const padded = new Uint8Array(data.byteLength + 2);
  padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  device.gpu.queue.writeBuffer(buffer, 0, padded);
}

/** Reads a piece of a buffer as host data. */
export async function readBuffer(
  device: Device,
  from: { readonly buffer: GPUBuffer; readonly offsetBytes: number },
  tensor: Pick<Tensor, "shape" | "dtype">,
  make: (bytes: ArrayBuffer) => HostArray,
): Promise<HostArray> {
  const bytes = sizeOf(tensor.shape) * bytesOf(tensor.dtype);
  if (bytes === 0) return make(new ArrayBuffer(0));
  const padded = Math.ceil(bytes / 4) * 4;
  const status = device.hasStatus ? 4 : 0;
  const staging = device.takeStaging(padded + status);
  try {
    const encoder = device.gpu.createCommandEncoder({ label: "read" });
    encoder.copyBufferToBuffer(from.buffer, from.offsetBytes, staging, 0, padded);
    if (status) encoder.copyBufferToBuffer(device.statusBuffer, 0, staging, padded, 4);
    device.submit(device.running, encoder.finish());
    const [values, word] = await device.readMapped(
      staging,
      padded + status,
      (mapped) =>
        [
          make(mapped.slice(0, bytes)),
          status ? new Uint32Array(mapped.slice(padded))[0] : 0,
        ] as const,
    );
    if (word) device.reportStatus(word);
    return values;
  } finally {
    device.returnStaging(staging);
  }
}
