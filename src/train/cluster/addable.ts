/** Whether packed gradients can be added up by any number of nodes. */
import { BLOCK, type WireType } from "../../../cluster/index.ts";

/** 2¹¹¹: of f32, and of 2¹⁶ nodes, which are the most that there can be. */
const LARGEST = 127 + 111;

/** Bits that the largest of 127 steps is above a scale. */
const STEPS = 7;

/** Whether values of a vector, packed from the start of a block on, are finite, and small enough for sums to be so too. */
export function areAddable(bytes: Uint8Array, wire: WireType): boolean {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (wire) {
    case "f32":
      return new Uint32Array(buffer, byteOffset, byteLength / 4).every((bits) =>
        isBelow(bits, LARGEST),
      );
    case "bf16":
      return new Uint16Array(buffer, byteOffset, byteLength / 2).every((half) =>
        isBelow(half << 16, LARGEST),
      );
    case "int8": {
      const view = new DataView(buffer, byteOffset, byteLength);
      for (let at = 0; at < byteLength; at += 4 + BLOCK)
        if (!isBelow(view.getUint32(at, true), LARGEST - STEPS)) return false;
      return true;
    }
  }
}

/** Whether the number of a pattern is below a power of 2, whose exponent is given as patterns have it. */
function isBelow(pattern: number, exponent: number): boolean {
  return ((pattern >>> 23) & 0xff) < exponent;
}
