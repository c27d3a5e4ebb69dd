/**
 * Weights on their way between files and the GPU: bf16, f16 and f32 as little-endian bytes, a chunk at a time.
 *
 * WebGPU runs on little-endian machines only, so bytes are viewed as words in place. Bytes that do not lie on a word
 * boundary are copied first.
 */
import { ForgeError } from "../error.ts";
import { type DType, fromHalf } from "../tensor/dtype.ts";
import type { FloatDType } from "./safetensors.ts";

/**
 * A number is NaN or infinite when all bits of its exponent are set: then adding 1 at the exponent's lowest bit carries
 * into the sign's place. Two 16-bit numbers are tested in one word.
 */
const EXPONENTS = {
  F32: { bytes: 4, mask: 0x7f80_0000, lowest: 0x0080_0000, carry: 0x8000_0000 },
  F16: { bytes: 2, mask: 0x7c00_7c00, lowest: 0x0400_0400, carry: 0x8000_8000 },
  BF16: { bytes: 2, mask: 0x7f80_7f80, lowest: 0x0080_0080, carry: 0x8000_8000 },
} as const;

const F32_INFINITY = 0x7f80_0000;
/** 65,536 as f32: from here on a half is infinite. Those from 65,520 on are rounded up to it. */
const HALF_OVERFLOW = 0x4780_0000;
/** 2^-14 as f32: the smallest normal half. */
const HALF_NORMAL = 0x3880_0000;
/** What takes the exponent's bias from 127 to 15, in the place of f32's exponent. */
const REBIAS = (127 - 15) << 23;

let halves: Float32Array | undefined;

/** The format of weights that are held in a dtype. */
export function formatOf(dtype: DType): FloatDType {
  if (dtype === "f16") return "F16";
  return dtype === "bf16" ? "BF16" : "F32";
}

/** bf16 as f32, at the start of `room` when it is given: every value is kept, NaNs to the bit. */
export function bf16ToF32(bytes: Uint8Array, room?: Float32Array): Float32Array {
  const source = halfWords(bytes);
  const values = placed(room, source.length, () => new Float32Array(source.length));
  const bits = bitsOf(values);
  for (let i = 0; i < source.length; i++) bits[i] = (source[i] as number) << 16;
  return values;
}

/** f16 as f32, at the start of `room` when it is given: every value is kept, NaN stays a NaN. */
export function f16ToF32(bytes: Uint8Array, room?: Float32Array): Float32Array {
  halves ??= Float32Array.from({ length: 0x10000 }, (_, bits) => fromHalf(bits));
  const source = halfWords(bytes);
  const values = placed(room, source.length, () => new Float32Array(source.length));
  for (let i = 0; i < source.length; i++) values[i] = halves[source[i] as number] as number;
  return values;
}

/** The nearest bf16 patterns, ties to even; beyond the largest is infinity, NaN stays a (quiet) NaN. `room` as above. */
export function f32ToBf16(
  values: Float32Array,
  room?: Uint16Array<ArrayBuffer>,
): Uint16Array<ArrayBuffer> {
  const source = bitsOf(values);
  const bits = placed(room, source.length, () => new Uint16Array(source.length));
  for (let i = 0; i < source.length; i++) {
    const word = source[i] as number;
    const isNan = (word & 0x7fff_ffff) > F32_INFINITY;
    bits[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

/** The nearest f16 patterns, ties to even; 65,520 and beyond is infinity, NaN stays a (quiet) NaN. `room` as above. */
export function f32ToF16(
  values: Float32Array,
  room?: Uint16Array<ArrayBuffer>,
): Uint16Array<ArrayBuffer> {
  const source = bitsOf(values);
  const bits = placed(room, source.length, () => new Uint16Array(source.length));
  for (let i = 0; i < source.length; i++) {
    const word = source[i] as number;
    const sign = (word >>> 16) & 0x8000;
    const size = word & 0x7fff_ffff;
    if (size > F32_INFINITY) bits[i] = sign | 0x7e00;
    else if (size >= HALF_OVERFLOW) bits[i] = sign | 0x7c00;
    else if (size >= HALF_NORMAL) {
      bits[i] = sign | ((size - REBIAS + 0xfff + ((size >>> 13) & 1)) >>> 13);
    } else bits[i] = sign | roundToEven(Math.abs(values[i] as number) * 2 ** 24);
  }
  return bits;
}

/** Elements of any of the formats as f32, at the start of `room`; a view of the bytes where they are f32 on a word boundary. */
export function toF32(bytes: Uint8Array, dtype: FloatDType, room?: Float32Array): Float32Array {
  if (dtype === "BF16") return bf16ToF32(bytes, room);
  if (dtype === "F16") return f16ToF32(bytes, room);
  checkWhole(bytes, 4);
  const all = words(bytes);
  return new Float32Array(all.buffer, all.byteOffset, all.length);
}

/** Values as bytes of one of the formats, the nearest that it has, in `room`; a view of the values where it is f32. */
export function fromF32(
  values: Float32Array,
  dtype: FloatDType,
  room?: Uint16Array<ArrayBuffer>,
): Uint8Array {
  const { buffer, byteOffset, byteLength } =
    dtype === "F32" ? values : dtype === "F16" ? f32ToF16(values, room) : f32ToBf16(values, room);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * 16-bit elements two to a word, unchanged, the first in the low half; an odd last one is alone in its word. A view of
 * `bytes` where they lie on a word boundary.
 */
export function packPairs(bytes: Uint8Array): Uint32Array {
  checkWhole(bytes, 2);
  if (bytes.length % 4 === 0) return words(bytes);
  const padded = new Uint8Array(bytes.length + 2);
  padded.set(bytes);
  return words(padded);
}

/** Index of the first NaN or infinity, or −1. `bytes` are whole elements. */
export function firstNonFinite(bytes: Uint8Array, dtype: FloatDType): number {
  const { bytes: size, mask, lowest, carry } = EXPONENTS[dtype];
  checkWhole(bytes, size);
  const all = packPairs(bytes);
  for (let i = 0; i < all.length; i++) {
    const hit = ((((all[i] as number) & mask) + lowest) | 0) & carry;
    if (hit === 0) continue;
    if (size === 4) return i;
    return 2 * i + ((hit & 0x8000) === 0 ? 1 : 0);
  }
  return -1;
}

/** Integers and halves below 1024 only: adding 2^52 leaves no room for a fraction, and the machine rounds to even. */
function roundToEven(value: number): number {
  return value + 2 ** 52 - 2 ** 52;
}

/** The first elements of the caller's room, or fresh ones. */
function placed<A extends Float32Array | Uint16Array>(
  room: A | undefined,
  length: number,
  make: () => A,
): A {
  if (room === undefined) return make();
  if (room.length >= length) return room.subarray(0, length) as A;
  throw new ForgeError({
    code: "argument_invalid",
    what: "these elements do not fit into the room.",
    got: `${length} elements, room for ${room.length}`,
  });
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function words(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint32Array(buffer, byteOffset, bytes.length / 4);
}

/** 16-bit elements; a view of the bytes where they lie on such a boundary. */
export function halfWords(bytes: Uint8Array): Uint16Array {
  checkWhole(bytes, 2);
  const { buffer, byteOffset } = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes);
  return new Uint16Array(buffer, byteOffset, bytes.length / 2);
}

function checkWhole(bytes: Uint8Array, size: number): void {
  if (bytes.length % size === 0) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "these bytes are no whole elements.",
    got: `${bytes.length} bytes for elements of ${size}`,
  });
}
