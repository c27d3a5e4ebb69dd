/** Element types of tensors. */
import { ForgeError } from "../error.ts";

/** Element type: 32-bit float, 16-bit float (where the adapter has it), 32-bit signed and unsigned integer. */
export type DType = "f32" | "f16" | "i32" | "u32";

/** Host arrays that carry tensor data; f16 travels as its 16-bit patterns. */
export type HostArray = Float32Array | Uint16Array | Int32Array | Uint32Array;

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return dtype === "f16" ? 2 : 4;
}

/** True for f32 and f16. */
export function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f16";
}

/** A host array of `length` elements of `dtype`, over `buffer` when given. */
export function hostArray(dtype: DType, source: number | ArrayBuffer): HostArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(source as number);
    case "f16":
      return new Uint16Array(source as number);
    case "i32":
      return new Int32Array(source as number);
    case "u32":
      return new Uint32Array(source as number);
  }
}

/** The dtype that a host array carries. A `Uint16Array` carries f16 bit patterns. */
export function dtypeOf(data: HostArray): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  return "f16";
}

/**
 * The common dtype of operands: equal types stay; f16 with f32 gives f32. Nothing else mixes without a cast.
 *
 * Errors    `dtype_mismatch`.
 */
export function promote(op: string, dtypes: readonly DType[]): DType {
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
  const f32 = new Float32Array([value]);
  const bits = new Uint32Array(f32.buffer)[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  const unbiased = exponent - 127;
  if (unbiased > 15) return sign | 0x7c00;
  if (unbiased < -25) return sign;
  // subnormal halves have a fixed exponent: shift the full mantissa further right
  const shift = unbiased < -14 ? 13 + (-14 - unbiased) : 13;
  const full = unbiased < -14 ? mantissa | 0x800000 : mantissa;
  const base = unbiased < -14 ? 0 : (unbiased + 15) << 10;
  const kept = full >>> shift;
  const rest = full & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  // a tie in f32 may be none in f64: what the first rounding took away or added decides
  const beyond = Math.abs(value) - Math.abs(f32[0] ?? 0);
  const isUp = rest > half || (rest === half && (beyond > 0 || (beyond === 0 && (kept & 1) === 1)));
  const round = isUp ? 1 : 0;
  return sign | (base + kept + round);
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
