/** Integer operands: ids, labels, positions, indices. */
import { ForgeError } from "../error.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * The operand itself, an i32 or u32. Kernels read either as u32: a negative number is an index beyond any axis.
 *
 * Errors    `dtype_mismatch` for floats.
 */
export function asIndices(op: string, name: string, x: Tensor): Tensor {
  if (x.dtype === "u32" || x.dtype === "i32") return x;
  throw new ForgeError({
    code: "dtype_mismatch",
    what: `${op}: ${name} are no integers.`,
    got: x.dtype,
    fix: "make them u32, for instance tensor(new Uint32Array([...])), or cast them",
  });
}
