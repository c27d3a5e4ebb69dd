/** What elements look like on the wire, and what each of them costs. */

/** Elements that share a scale, and are never cut. Blocks are aligned to element 0 of the vector. */
export const BLOCK = 256;

/** Wire types by their number in a chunk's header. */
export const WIRE_TYPES = ["f32", "bf16", "int8"] as const;

/**
 * - `f32`: the bits.
 * - `bf16`: rounded to nearest, ties to even; sums are accumulated in f32 and rounded again when they are sent.
 * - `int8`: per block an f32 scale = max|x| / 127, then x / scale, rounded likewise. What rounding loses is added to the
 *   next contribution of the same rank (error feedback).
 */
export type WireType = (typeof WIRE_TYPES)[number];

/** Bytes of the payload that carries so many elements from the start of a block on. */
export function bytesOf(elements: number, wire: WireType): number {
  switch (wire) {
    case "f32":
      return 4 * elements;
    case "bf16":
      return 2 * elements;
    case "int8":
      return elements + 4 * Math.ceil(elements / BLOCK);
  }
}
