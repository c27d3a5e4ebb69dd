/**
 * The safetensors format: a length, a JSON header, and the bytes of the tensors.
 *
 *   u64 N │ N bytes {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …, "__metadata__": {…}} │ data
 *
 * Numbers are little endian, offsets count from the first byte of the data, and the tensors cover the data without holes
 * or overlaps. https://github.com/huggingface/safetensors#format; `safetensors-writer.ts` writes it.
 */
import { ForgeError } from "../error.ts";
import type { ByteSource } from "./byte-source.ts";
import { fileInvalid, quote } from "./file-invalid.ts";
import { JsonCursor } from "./json-cursor.ts";

/** Bits of one element of each dtype that the format has. */
const ELEMENT_BITS = {
  F32: 32,
  F16: 16,
  BF16: 16,
  F64: 64,
  C64: 64,
  I64: 64,
  U64: 64,
  I32: 32,
  U32: 32,
  I16: 16,
  U16: 16,
  I8: 8,
  U8: 8,
  BOOL: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
} as const;

/** Element types of the format. */
export type SafetensorsDType = keyof typeof ELEMENT_BITS;

/** The element types that weights are loaded from; the others can be copied. */
export type FloatDType = "F32" | "F16" | "BF16";

/** What a tensor is called and what it looks like. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  /** Sizes from the outermost dimension in; [] for a scalar. */
  readonly shape: readonly number[];
}

/** A tensor of a file. */
export interface SafetensorsEntry extends TensorInfo {
  /** Its first byte, counted from the start of the file. */
  readonly begin: number;
  /** One past its last byte. */
  readonly end: number;
}

/** All that a file says of itself before its data. */
export interface SafetensorsHeader {
  /** The tensors by name, in the order of the header. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  /** `__metadata__`; {} when there is none. PyTorch's tools write and demand {"format": "pt"}. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Options of {@link readTensor}. */
export interface ReadTensorOptions {
  /** The most bytes at a time; 8 MiB unless told. */
  readonly chunkBytes?: number;
  /** Where chunks may lie, one after the other in the same place: a chunk is gone when the next one is asked for. */
  readonly room?: Uint8Array;
}

/** The key of the header that is no tensor. */
export const METADATA_KEY = "__metadata__";
/** The most bytes that a header may have, as in the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;
/** As many dimensions as PyTorch and NumPy can have. */
export const MAX_RANK = 64;
/** Bytes of the length before the header. */
const LENGTH_BYTES = 8;
const CHUNK_BYTES = 8 * 2 ** 20;
/** Chunks are multiples of this, so that they hold whole elements and whole words. */
const CHUNK_UNIT = 8;

/** True for the name of an element type of the format. */
export function isSafetensorsDType(name: unknown): name is SafetensorsDType {
  return typeof name === "string" && Object.hasOwn(ELEMENT_BITS, name);
}

/** True for the element types that weights are loaded from. */
export function isFloatDType(dtype: SafetensorsDType): dtype is FloatDType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/**
 * Bytes of a tensor: no integer when sub-byte elements do not fill the last byte, infinity when its elements or bits
 * are more than 2^53.
 */
export function tensorBytes(dtype: SafetensorsDType, shape: readonly number[]): number {
  let bits: number = ELEMENT_BITS[dtype];
  for (const size of shape) {
    bits *= size;
    if (bits > Number.MAX_SAFE_INTEGER) return Number.POSITIVE_INFINITY;
  }
  return bits / 8;
}

/**
 * Reads and checks the header of a file; no tensor is read.
 *
 * Errors    `file_invalid`, naming the file and the tensor, for anything that is not exactly the format: nothing that
 *           a file says makes this crash, or take memory beyond a few times the header's size.
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const { name: file, size } = source;
  if (size < LENGTH_BYTES) {
    throw fileInvalid(file, { what: "this is no safetensors file.", got: `${size} bytes` });
  }
  const prefix = await source.read(0, LENGTH_BYTES);
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > size - LENGTH_BYTES || length > MAX_HEADER_BYTES) {
    throw fileInvalid(file, {
      what: "the header does not fit.",
      got: `a header of ${length} bytes in a file of ${size}`,
      why: `it must end inside the file and have at most ${MAX_HEADER_BYTES} bytes`,
      fix: "fetch the file again: it is cut off or no safetensors file",
    });
  }
  const text = headerText(file, await source.read(LENGTH_BYTES, length));
  const header = parseHeader(file, text, LENGTH_BYTES + length);
  checkCoverage(file, header.entries, LENGTH_BYTES + length, size);
  return header;
}

/**
 * The bytes of a tensor in chunks, one in memory at a time. All but the last are multiples of 8 bytes, so that elements
 * and pairs of elements stay whole. They may be views of what the source holds: do not write to them.
 *
 * Errors    `argument_invalid` for chunks or room below 8 bytes; those of {@link ByteSource.read}.
 */
export async function* readTensor(
  source: ByteSource,
  entry: SafetensorsEntry,
  { chunkBytes = CHUNK_BYTES, room }: ReadTensorOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const most = Math.min(chunkBytes, room?.length ?? chunkBytes);
  const step = Math.floor(most / CHUNK_UNIT) * CHUNK_UNIT;
  if (!(step >= CHUNK_UNIT && Number.isSafeInteger(step))) {
    throw new ForgeError({
      code: "argument_invalid",
      what: `readTensor: a chunk must have at least ${CHUNK_UNIT} bytes.`,
      got: String(most),
      why: "it holds whole elements of any dtype",
      fix: "leave chunkBytes out, or pass more room",
    });
  }
  for (let at = entry.begin; at < entry.end; at += step) {
    yield await source.read(at, Math.min(step, entry.end - at), room);
  }
}

function headerText(file: string, bytes: Uint8Array): string {
  if (bytes[0] !== 0x7b) {
    throw fileInvalid(file, { what: "the header does not start with '{'.", got: `${bytes[0]}` });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw fileInvalid(file, { what: "the header is not UTF-8.", cause });
  }
}

/** The header of a file whose data starts at `start`. */
function parseHeader(file: string, text: string, start: number): SafetensorsHeader {
  const entries = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = {};
  let tensor: string | undefined;
  const cursor = new JsonCursor(text, (got, why) =>
    fileInvalid(file, { tensor, what: "the header is malformed.", got, why }),
  );
  cursor.object((name) => {
    if (name === METADATA_KEY) {
      metadata = parseMetadata(cursor);
    } else {
      tensor = name;
      entries.set(name, parseEntry(file, name, start, cursor));
      tensor = undefined;
    }
  });
  cursor.end();
  return { entries, metadata };
}

function parseMetadata(cursor: JsonCursor): Record<string, string> {
  const pairs: [string, string][] = [];
  cursor.object((key) => pairs.push([key, cursor.string()]));
  return Object.fromEntries(pairs); // unlike an assignment, this keeps "__proto__" a key like any other
}

function parseEntry(
  file: string,
  name: string,
  start: number,
  cursor: JsonCursor,
): SafetensorsEntry {
  const invalid = (what: string, got: string, why: string): ForgeError =>
    fileInvalid(file, { tensor: name, what, got, why });
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  cursor.object((key) => {
    if (key === "dtype") dtype = cursor.string();
    else if (key === "shape") shape = cursor.integers(MAX_RANK);
    else if (key === "data_offsets") offsets = cursor.integers(2);
    else throw invalid("it has an unknown field.", quote(key), "the format has none of this name");
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const got = `dtype ${dtype}, shape ${shape}, data_offsets ${offsets}`;
    throw invalid("a field is missing.", got, "all three must be there");
  }
  if (!isSafetensorsDType(dtype)) {
    throw invalid("unknown dtype.", quote(dtype), `it is one of ${Object.keys(ELEMENT_BITS)}`);
  }
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || begin > end) {
    throw invalid(
      "data_offsets is no range.",
      `[${offsets}]`,
      "it is [begin, end] with begin ≤ end",
    );
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes !== end - begin) {
    const got = `${end - begin} bytes for ${dtype} [${shape}]`;
    throw invalid("shape and data_offsets disagree.", got, `it takes ${bytes} bytes`);
  }
  return { name, dtype, shape, begin: start + begin, end: start + end };
}

/** Holds when the tensors cover the bytes from `start` to the end of the file, each once. */
function checkCoverage(
  file: string,
  entries: ReadonlyMap<string, SafetensorsEntry>,
  start: number,
  size: number,
): void {
  const inOrder = [...entries.values()].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = start;
  for (const { name: tensor, begin, end } of inOrder) {
    const got = `bytes ${begin} to ${end} in a file of ${size}`;
    if (end > size) {
      const fix = "fetch the file again: it is cut off";
      throw fileInvalid(file, { tensor, what: "its bytes lie beyond the end.", got, fix });
    }
    if (begin !== covered) {
      const what = begin < covered ? "its bytes overlap another's." : "there is a hole before it.";
      throw fileInvalid(file, { tensor, what, got, why: `it must begin at ${covered}` });
    }
    covered = end;
  }
  if (covered !== size) {
    const got = `the last tensor ends at ${covered} in a file of ${size}`;
    throw fileInvalid(file, { what: "there are bytes behind the last tensor.", got });
  }
}
