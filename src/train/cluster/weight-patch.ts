/** What has changed between two versions of weights, where that is little. */
import { ForgeError } from "../../../engine/index.ts";

/** A changed element: its index, u32, and its value, f32. */
const ENTRY = 8;

/**
 * Indices and values of the elements whose bits have changed, u32 [count] and then f32 [count], little-endian; undefined where that
 * is no smaller than half of the new version. Of an update in f32 by AdamW nearly all elements do; where parts are frozen, or rows of an embedding
 * are not used, few.
 *
 * Source    bit-exact sparse patches: PULSE, arXiv:2602.03839.
 */
export function weightPatch(before: Float32Array, after: Float32Array): Uint8Array | undefined {
  const [old, now] = [bitsOf(before), bitsOf(after)];
  const most = Math.floor((2 * now.length) / ENTRY);
  const changed: number[] = [];
  for (let i = 0; i < now.length; i++) {
    if (now[i] === old[i]) continue;
    if (changed.length === most) return undefined;
    changed.push(i);
  }
  const patch = new Uint32Array(2 * changed.length);
  patch.set(changed);
  for (const [i, index] of changed.entries()) patch[changed.length + i] = now[index] as number;
  return new Uint8Array(patch.buffer);
}

/** The new version. Errors: `file_invalid` for what is no patch of such weights. */
export function patched(before: Float32Array, patch: Uint8Array): Float32Array {
  const count = patch.length / ENTRY;
  const aligned = Uint8Array.from(patch);
  const after = Float32Array.from(before);
  const bits = bitsOf(after);
  const entries = new Uint32Array(aligned.buffer);
  for (let i = 0; i < count; i++) {
    const index = entries[i] as number;
    if (!Number.isInteger(count) || index >= bits.length) throw misfit(patch.length, bits.length);
    bits[index] = entries[count + i] as number;
  }
  return after;
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function misfit(bytes: number, elements: number): ForgeError {
  return new ForgeError({
    code: "file_invalid",
    what: "weights: the patch does not fit them.",
    got: `${bytes} bytes for ${elements} elements`,
    fix: "use the same configuration on all nodes",
  });
}
