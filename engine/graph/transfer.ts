/** Between the host and buffers. */
import type { Device } from "../gpu/device.ts";
import { bytesOf, type HostArray } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A place in a buffer. */
export interface BufferPlace {
  readonly buffer: GPUBuffer;
  readonly offsetBytes: number;
}

/** A value to write into an input before a replay: host data, or where it lies by then (an error when it is gone). */
export type InputValue = HostArray | (() => BufferPlace);

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
  from: BufferPlace,
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
