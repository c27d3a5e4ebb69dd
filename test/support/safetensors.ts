/** Safetensors files for tests: put together part by part, so that any part can be wrong. */
import type { SafetensorsTensor } from "../../engine/models/safetensors-writer.ts";

/** A file of any header over any data. The length before the header is its own unless told. */
export function fileOf(
  header: string | Uint8Array | object,
  data: Uint8Array = new Uint8Array(),
  length?: bigint,
): Uint8Array {
  const json = typeof header === "string" ? header : JSON.stringify(header);
  const text = header instanceof Uint8Array ? header : new TextEncoder().encode(json);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** Bytes that came in parts. */
export async function joined(parts: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of parts) all.push(new Uint8Array(part));
  return new Uint8Array(await new Blob(all).arrayBuffer());
}

/** A one-dimensional F32 tensor of these values. */
export function floatTensor(name: string, values: readonly number[]): SafetensorsTensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name, dtype: "F32", shape: [values.length], bytes: () => bytes };
}
