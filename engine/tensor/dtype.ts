/** Element types of tensors. */
import { ForgeError } from "../error.ts";

/**
 * Element type: 32-bit float, 16-bit float (every adapter holds it, those with shader-f16 compute in it), bfloat16 (held by
 * every adapter, computed in by none), 32-bit signed and unsigned integer.
 */
export type DType = "f32" | "f16" | "bf16" | "i32" | "u32";

/** What weights may be held in. Sums of their products are f32 always. */
export type WeightDType = "f32" | "f16" | "bf16";

/** Host arrays that carry tensor data; f16 and bf16 travel as their 16-bit patterns. */
export type HostArray = Float32Array | Uint16Array | Int32Array | Uint32Array;

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return dtype === "f16" || dtype === "bf16" ? 2 : 4;
}

/** True for floats that are computed in: f32 and f16. */
export function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f16";
}

/** True for what memory may hold but nothing computes in: bf16. */
export function isHeldOnly(dtype: DType): boolean {
  return dtype === "bf16";
}

/** The error for an op that reads values of a dtype that is held only, or would make some. */
export function heldOnly(op: string, got: string): ForgeError {
  return new ForgeError({
    code: "dtype_unsupported",
    what: `${op}: nothing is computed in bf16.`,
    got,
    why: "it holds weights, which matmul, embedding, lmHead and cast read in place",
    fix: "cast the operand first: x.cast('f32'); host data is rounded to bf16 by the state that it fills",
  });
}

/** A host array of `length` elements of `dtype`, over `buffer` when given. */
export function hostArray(dtype: DType, source: number | ArrayBuffer): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(source as number);
    case "f16":
    case "bf16":
      return new Uint16Array(source as number);
    case "i32":
      return new Int32Array(source as number);
    case "u32":
      return new Uint32Array(source as number);
  }
}

/** The dtype that a host array carries by itself: a `Uint16Array` carries f16 patterns, except for a state of bf16. */
export function dtypeOf(data: HostArray): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  return "f16";
}

/**
 * The common dtype of operands: equal types stay; f16 with f32 gives f32. Nothing else mixes without a cast.
 *
 * Errors    `dtype_mismatch`; `dtype_unsupported` for bf16.
 */
export function promote(op: string, dtypes: readonly DType[]): DType {
  if (dtypes.some(isHeldOnly)) throw heldOnly(op, dtypes.join(" · "));
  const first = dtypes[0] ?? "f32";
  if (dtypes.every((d) => d === first)) return first;
  if (dtypes.every(isFloat)) return "f32";
  throw new ForgeError({
    code: "dtype_mismatch",
    what: `${op}: operands have different dtypes.`,
    got: dtypes.join(" · "),
    why: "only f16 and f32 mix",
    fix: "cast one operand, for instance x.cast('f32')",
  });
}

/** IEEE 754 half-precision bit pattern nearest to `value` (round to nearest even). */
export function toHalf(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  const unbiased = exponent - 127;
  if (unbiased > 15) return sign | 0x7c00;
  if (unbiased < -25) return sign;
  // subnormal halves have a fixed exponent: shift the full mantissa further right
  if (unbiased < -14) return sign | rounded(mantissa | 0x800000, -1 - unbiased, value);
  return sign | (((unbiased + 15) << 10) + rounded(mantissa, 13, value));
}

/** The value of a half-precision bit pattern. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 0x1f) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** bfloat16 bit pattern nearest to `value` (round to nearest even): the upper half of an f32. */
export function toBf16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const bits = bitsOf(value);
  return ((bits >>> 16) & 0x8000) | rounded(bits & 0x7fffffff, 16, value);
}

/** The value of a bfloat16 bit pattern. */
export function fromBf16(bits: number): number {
  return new Float32Array(new Uint32Array([bits << 16]).buffer)[0] as number;
}

/** The same numbers in a host array of `dtype`; what carries that dtype already is returned as it is. */
export function toHostArray(data: HostArray | readonly number[], dtype: DType): HostArray {
  const from = ArrayBuffer.isView(data) ? dtypeOf(data) : "f32";
  if (ArrayBuffer.isView(data) && from === dtype) return data;
  const out = hostArray(dtype, data.length);
  for (let i = 0; i < data.length; i++) out[i] = encoded(decoded(data[i] ?? 0, from), dtype);
  return out;
}

/** What stands for a number in a host array of `dtype`. */
export function encoded(value: number, dtype: DType): number {
  if (dtype === "f16") return toHalf(value);
  return dtype === "bf16" ? toBf16(value) : value;
}

/** The number that an element of a host array of `dtype` stands for. */
export function decoded(stored: number, dtype: DType): number {
  if (dtype === "f16") return fromHalf(stored);
  return dtype === "bf16" ? fromBf16(stored) : stored;
}

function bitsOf(value: number): number {
  return new Uint32Array(new Float32Array([value]).buffer)[0] as number;
}

/** `bits` of the f32 nearest to `value` without the `shift` lowest, rounded to nearest even. */
function rounded(bits: number, shift: number, value: number): number {
  const kept = bits >>> shift;
  const rest = bits & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  // a tie in f32 may be none in f64: what the first rounding took away or added decides
  const beyond = Math.abs(value) - Math.abs(Math.fround(value));
  const isUp = rest > half || (rest === half && (beyond > 0 || (beyond === 0 && (kept & 1) === 1)));
  return kept + (isUp ? 1 : 0);
}
