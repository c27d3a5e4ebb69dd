/** The buffers of a plan: arenas, values with memory of their own, and kernel parameters. */
import { BufferUsage, OFFSET_ALIGNMENT } from "../gpu/constants.ts";
import type { Device } from "../gpu/device.ts";
import { bytesOf } from "../tensor/dtype.ts";
import type { KernelCall, Operand, Program, Slot } from "./kernel.ts";
import type { MemoryPlan } from "./memory.ts";
import { homeOf, offsetInHome } from "./slot.ts";
import { type BufferPlace, writeHost } from "./transfer.ts";

const STORAGE = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;

/** Where every slot of a program lies. */
export class PlanBuffers {
  readonly #device: Device;
  readonly #owned: GPUBuffer[];
  readonly #places = new Map<Slot, BufferPlace>();
  readonly #params: { readonly buffer: GPUBuffer; readonly offsets: readonly number[] };

  private constructor(
    device: Device,
    program: Program,
    memory: MemoryPlan,
    owned: GPUBuffer[],
    label: string,
  ) {
    this.#device = device;
    const separate = program.slots.filter(isSeparate);
    const homes = new Map(separate.map((s, i) => [s, owned[memory.arenaBytes.length + i]]));
    for (const slot of program.slots) {
      const home = homeOf(slot);
      const placed = memory.placements.get(home);
      const buffer = bufferOf(device, home) ?? homes.get(home) ?? (placed && owned[placed.arena]);
      // a slot that no call touches has no memory
      if (buffer)
        this.#places.set(slot, {
          buffer,
          offsetBytes: (placed?.offsetBytes ?? 0) + offsetInHome(slot),
        });
    }
    for (const slot of separate) {
      if (slot.data) writeHost(device, this.place(slot).buffer, slot.data);
    }
    this.#params = uploadParams(device, program.calls, label);
    this.#owned = [...owned, this.#params.buffer];
  }

  /** Makes the buffers. Errors: `out_of_memory`. */
  static async make(
    device: Device,
    program: Program,
    memory: MemoryPlan,
    label: string,
  ): Promise<PlanBuffers> {
    const request = (
      name: string,
      sizeBytes: number,
    ): { label: string; sizeBytes: number; usage: number } => ({
      label: `${label} ${name}`,
      sizeBytes,
      usage: STORAGE,
    });
    // a state that is gone, or lives elsewhere, is found out before anything is made
    for (const slot of program.slots) bufferOf(device, slot);
    const owned = await device.createBuffers([
      ...memory.arenaBytes.map((bytes, i) => request(`arena ${i}`, bytes)),
      ...program.slots.filter(isSeparate).map((s) => request(s.label, s.sizeBytes)),
    ]);
    try {
      return new PlanBuffers(device, program, memory, owned, label);
    } catch (error) {
      for (const buffer of owned) device.destroyBuffer(buffer);
      throw error;
    }
  }

  /** Bytes of the buffers that belong to the plan (states do not). */
  get bytes(): number {
    return this.#owned.reduce((n, b) => n + b.size, 0);
  }

  /** Where a slot begins. */
  place(slot: Slot): BufferPlace {
    return this.#places.get(slot) as BufferPlace;
  }

  /** Where an operand's first element lies. */
  locate({ slot, layout }: Operand): BufferPlace {
    const { buffer, offsetBytes } = this.place(slot);
    return { buffer, offsetBytes: offsetBytes + layout.offset * bytesOf(slot.dtype) };
  }

  /** What a storage binding binds. */
  binding(slot: Slot): GPUBufferBinding {
    const { buffer, offsetBytes: offset } = this.place(slot);
    return { buffer, offset, size: Math.min(buffer.size - offset, Math.max(16, slot.sizeBytes)) };
  }

  /** The `Params` of a call. */
  params(call: KernelCall, index: number): GPUBufferBinding {
    const { buffer, offsets } = this.#params;
    return {
      buffer,
      offset: offsets[index] ?? 0,
      size: Math.max(16, Math.ceil(call.params.byteLength / 16) * 16),
    };
  }

  /** Frees what belongs to the plan. */
  destroy(): void {
    for (const buffer of this.#owned) this.#device.destroyBuffer(buffer);
  }
}

/** Slots with a buffer of their own that the plan makes. */
function isSeparate(slot: Slot): boolean {
  return (
    !slot.inside && slot.kind !== "temporary" && slot.kind !== "state" && slot.kind !== "status"
  );
}

/** The buffer of a slot that belongs to somebody else. */
function bufferOf(device: Device, slot: Slot): GPUBuffer | undefined {
  if (slot.state) return slot.state.buffer(device);
  return slot.kind === "status" ? device.statusBuffer : undefined;
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
