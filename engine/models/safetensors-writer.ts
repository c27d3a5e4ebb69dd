/** Writes the safetensors format; `safetensors.ts` describes and reads it. */
import { ForgeError } from "../error.ts";
import { quote } from "./file-invalid.ts";
import {
  isSafetensorsDType,
  MAX_HEADER_BYTES,
  MAX_RANK,
  METADATA_KEY,
  type TensorInfo,
  tensorBytes,
} from "./safetensors.ts";

/** A tensor to be written. */
export interface SafetensorsTensor extends TensorInfo {
  /** Its elements, little endian, row-major. Called when their turn comes, so that one tensor is in memory at a time. */
  bytes(): Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/**
 * The length and the header of a file of these tensors, in this order, padded with spaces to a multiple of 8 bytes. The
 * data follows in the same order without gaps; put wide elements before narrow ones if all should be aligned.
 *
 * Errors    `argument_invalid` for a name that is used twice or is `__metadata__`, an unknown dtype, a shape that is
 *           none, metadata that is no string, text with lone surrogates, and more than 100 MB.
 */
export function safetensorsHeader(
  tensors: Iterable<TensorInfo>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) {
    for (const text of Object.entries(metadata).flat()) checkText(text);
    fields.push(`"${METADATA_KEY}":${JSON.stringify(metadata)}`);
  }
  const names = new Set([METADATA_KEY]);
  let begin = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    checkText(name);
    if (names.has(name)) throw invalid(name, "the name is taken.");
    names.add(name);
    const end = begin + byteLength(tensor);
    const entry = JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
    fields.push(`${JSON.stringify(name)}:${entry}`);
    begin = end;
  }
  return encodeHeader(`{${fields.join(",")}}`);
}

/**
 * A whole file, part after part: the header, then the bytes of each tensor as it gives them.
 *
 * Errors    those of {@link safetensorsHeader}; `argument_invalid` for a tensor that gives more or fewer bytes than its
 *           shape takes. The parts up to there are no file: write them under a temporary name.
 */
export async function* safetensorsParts(
  tensors: Iterable<SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const all = [...tensors];
  yield safetensorsHeader(all, metadata);
  for (const tensor of all) {
    let missing = byteLength(tensor);
    const bytes = tensor.bytes();
    for await (const part of bytes instanceof Uint8Array ? [bytes] : bytes) {
      missing -= part.length;
      if (missing < 0) break;
      yield part;
    }
    if (missing !== 0) {
      const side = missing > 0 ? "few" : "many";
      const got = `${Math.abs(missing)} bytes too ${side} for ${tensor.dtype} [${tensor.shape}]`;
      throw invalid(tensor.name, "its bytes do not fit its shape.", got);
    }
  }
}

function encodeHeader(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  if (text.length > MAX_HEADER_BYTES) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "safetensors: the header is too long.",
      got: `${text.length} bytes`,
      why: `it may have ${MAX_HEADER_BYTES}`,
      fix: "write several files",
    });
  }
  const length = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  return bytes;
}

function byteLength({ name, dtype, shape }: TensorInfo): number {
  if (!isSafetensorsDType(dtype)) throw invalid(name, "unknown dtype.", String(dtype));
  const isShape = shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  const bytes = tensorBytes(dtype, shape);
  if (isShape && shape.length <= MAX_RANK && Number.isSafeInteger(bytes)) return bytes;
  throw invalid(name, "its shape cannot be written.", `${dtype} [${shape}]`);
}

function checkText(text: unknown): void {
  if (typeof text === "string" && !/\p{Surrogate}/u.test(text)) return;
  throw invalid(String(text), "names and metadata are well-formed strings.", typeof text);
}

function invalid(name: string, what: string, got = quote(name)): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: `safetensors: tensor ${quote(name)}: ${what}`,
    got,
  });
}
