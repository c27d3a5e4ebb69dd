/** Files of tensors as a checkpoint has them, over any source of bytes. */
import {
  type ByteSource,
  type HostArray,
  readSafetensorsHeader,
  readTensor,
  type SafetensorsTensor,
  safetensorsParts,
} from "../../../engine/index.ts";
import type { TensorFile, TensorSet } from "./contents.ts";

/** The most bytes of a tensor that are on the host at a time while it is read. */
const PIECE_BYTES = 8 * 2 ** 20;

/** The bytes of a file of tensors, part after part; the tensors' data is asked for one at a time. */
export function tensorFileParts({ tensors, metadata }: TensorSet): AsyncIterable<Uint8Array> {
  const written = [...tensors].map(({ name, dtype, shape, data }): SafetensorsTensor => {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      const { buffer, byteOffset, byteLength } = await data();
      yield new Uint8Array(buffer, byteOffset, byteLength);
    }
    return { name, dtype, shape, bytes };
  });
  return safetensorsParts(written, metadata);
}

/** Reads what a file of tensors says of itself. Errors: `file_invalid`. */
export async function openTensorFile(name: string, source: ByteSource): Promise<TensorFile> {
  const { entries, metadata } = await readSafetensorsHeader(source);
  const room = new Uint8Array(PIECE_BYTES);
  return {
    name,
    metadata,
    tensors: entries,
    async *pieces(tensor): AsyncGenerator<HostArray> {
      const entry = entries.get(tensor);
      if (!entry) return;
      for await (const bytes of readTensor(source, entry, { room }))
        yield elementsOf(bytes, entry.dtype === "F32");
    },
  };
}

/** Bytes as elements: f32, or the patterns of 16-bit floats. */
function elementsOf(bytes: Uint8Array, isWide: boolean): HostArray {
  const isAligned = bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset, byteLength } = isAligned ? bytes : bytes.slice();
  return isWide
    ? new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4)
    : new Uint16Array(buffer as ArrayBuffer, byteOffset, byteLength / 2);
}
