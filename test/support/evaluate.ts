/**
 * Runs tensors as a test wants to see them run: in one plan, over poisoned memory, by the kernels of either class of adapter.
 */
import { expect } from "vitest";
import { readBuffer } from "../../engine/graph/transfer.ts";
import {
  compile,
  type Device,
  grad,
  mul,
  type Plan,
  sum,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import { bytesOf, type HostArray, hostArray } from "../../engine/tensor/dtype.ts";

/** What all memory holds before a run: a NaN, and a number that no kernel makes. */
const POISON = 0x7fc0_beef;

/** Which kernels run: those for CPUs behind the API, or those for hardware, whatever the adapter is. */
export type KernelClass = "software" | "hardware";

/** Both classes, for `describe.each`. */
export const KERNEL_CLASSES: readonly KernelClass[] = ["software", "hardware"];

/** What {@link evaluate} gives. */
export interface Evaluated<K extends string> {
  readonly values: Record<K, HostArray>;
  /** Labels of the kernels that ran, in order. */
  readonly kernels: readonly string[];
}

/**
 * Values of the tensors that `build` makes, computed together.
 *
 * Outputs and intermediate memory are NaN before the run, so that what a kernel forgets to write shows; the padding behind
 * each output and the gaps between intermediate values must still be so afterwards.
 */
export async function evaluate<K extends string>(
  device: Device,
  build: () => Record<K, Tensor>,
  kernels?: KernelClass,
): Promise<Evaluated<K>> {
  const compiled = compile(build, { device, label: "evaluate" });
  try {
    const { plan, arenas } = await planned(device, () => compiled.plan(), kernels);
    const outputs = plan.program.outputs.map((_, i) => plan.output(i).buffer);
    for (const buffer of new Set([...arenas, ...outputs])) {
      const words = new Uint32Array(buffer.size / 4).fill(POISON);
      device.gpu.queue.writeBuffer(buffer, 0, words);
    }
    const results = Object.entries(await compiled()) as [K, Tensor][];
    const values = {} as Record<K, HostArray>;
    for (const [i, [name, { size, dtype }]] of results.entries()) {
      const from = plan.output(i);
      const words = { shape: [from.buffer.size / 4], dtype: "u32" } as const;
      const raw = await readBuffer(device, from, words, (bytes) => new Uint32Array(bytes));
      const bytes = size * bytesOf(dtype);
      const padding = raw.subarray(Math.ceil(bytes / 4));
      expect([...padding], `padding of ${name}`).toEqual([...padding].fill(POISON));
      values[name] = hostArray(dtype, raw.buffer.slice(0, bytes) as ArrayBuffer);
    }
    for (const [i, buffer] of arenas.entries()) await expectGaps(device, plan, buffer, i);
    return { values, kernels: plan.program.calls.map((c) => c.label) };
  } finally {
    compiled[Symbol.dispose]();
  }
}

/** Fails when a kernel has written into an arena where no value of the plan ever lies. */
async function expectGaps(
  device: Device,
  { memory }: Plan,
  buffer: GPUBuffer,
  arena: number,
): Promise<void> {
  const words = { shape: [buffer.size / 4], dtype: "u32" } as const;
  const from = { buffer, offsetBytes: 0 };
  const raw = await readBuffer(device, from, words, (bytes) => new Uint32Array(bytes));
  for (const [slot, place] of memory.placements) {
    if (place.arena !== arena) continue;
    const bytes = slot.elements * bytesOf(slot.dtype);
    raw.fill(POISON, place.offsetBytes / 4, Math.ceil((place.offsetBytes + bytes) / 4));
  }
  const spoilt = raw.findIndex((word) => word !== POISON);
  if (spoilt >= 0) expect.fail(`arena ${arena} was written in a gap, at byte ${4 * spoilt}`);
}

/** The plan, lowered for a class of adapter, and the buffers of its intermediate values. */
async function planned<P>(
  device: Device,
  make: () => Promise<P>,
  kernels: KernelClass | undefined,
): Promise<{ plan: P; arenas: GPUBuffer[] }> {
  const arenas: GPUBuffer[] = [];
  const facts = device as { isSoftware: boolean };
  const { isSoftware } = facts;
  const original = device.createBuffers;
  device.createBuffers = async (requests) => {
    const made = await original.call(device, requests);
    requests.forEach(({ label }, i) => {
      const buffer = made[i];
      if (buffer && label.includes(" arena ")) arenas.push(buffer);
    });
    return made;
  };
  if (kernels) facts.isSoftware = kernels === "software";
  try {
    return { plan: await make(), arenas };
  } finally {
    facts.isSoftware = isSoftware;
    device.createBuffers = original;
  }
}

/** Gradients of Σ y·weights over all pairs: what arrives at each y is its weights. */
export function gradients<const W extends readonly Tensor[]>(
  pairs: readonly (readonly [y: Tensor, weights: Float32Array])[],
  wrt: W,
): { [K in keyof W]: Tensor } {
  const losses = pairs.map(([y, weights]) => sum(mul(y, tensor(weights, y.shape))));
  const total = losses.reduce((a, b) => a.add(b));
  return grad(total, wrt) as { [K in keyof W]: Tensor }; // one for each of wrt
}
