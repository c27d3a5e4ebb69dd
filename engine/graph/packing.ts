/**
 * 16-bit floats read out of 32-bit words, two to a word: bf16, which WGSL does not know, and f16 where the adapter lacks
 * shader-f16. The first of two elements lies in the low half, as in the memory of every machine that runs WebGPU.
 */
import type { DType } from "../tensor/dtype.ts";

/** What the halves of the words are. */
export type Packing = "f16" | "bf16";

/** How kernels must read elements of a dtype on a device: out of words, or (undefined) as they are. */
export function packingOf(dtype: DType, device: { readonly hasF16: boolean }): Packing | undefined {
  if (dtype === "bf16") return dtype;
  return dtype === "f16" && !device.hasF16 ? dtype : undefined;
}

/** WGSL type of the array that is bound: of words, or of what holds four elements. */
export function packedType(width: 1 | 4): string {
  return width === 1 ? "u32" : "vec2<u32>";
}

/** WGSL of element `index` of such an array, or of its elements 4 · `index` to 4 · `index` + 3, in f32. */
export function unpacked(packing: Packing, array: string, index: string, width: 1 | 4): string {
  if (width === 4) {
    const words = `${array}[${index}]`;
    return packing === "f16"
      ? `vec4f(unpack2x16float(${words}.x), unpack2x16float(${words}.y))`
      : `bitcast<vec4f>((${words}.xxyy << vec4u(16u, 0u, 16u, 0u)) & vec4u(0xffff0000u))`;
  }
  const half = `(${array}[(${index}) / 2u] >> ((${index}) % 2u * 16u))`;
  return packing === "f16" ? `unpack2x16float${half}.x` : `bitcast<f32>(${half} << 16u)`;
}
