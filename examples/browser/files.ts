/** Models as files, in memory. */
import { namedParameters, type SafetensorsTensor, safetensorsParts } from "forge-gpu";

/** The parameters of a model as a safetensors file. */
export async function safetensorsOf(
  model: object,
  metadata: Readonly<Record<string, string>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const tensors = [...namedParameters(model)].map(([name, state]): SafetensorsTensor => {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      const { buffer, byteOffset, byteLength } = await state.read();
      yield new Uint8Array(buffer, byteOffset, byteLength);
    }
    return { name, dtype: "F32", shape: state.shape, bytes };
  });
  return joined(safetensorsParts(tensors, metadata));
}

/** All parts, one behind the other. */
export async function joined(
  parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const blobs: Blob[] = [];
  // a part is gone when the next is asked for
  for await (const part of parts) blobs.push(new Blob([part as Uint8Array<ArrayBuffer>]));
  return new Uint8Array(await new Blob(blobs).arrayBuffer());
}
