/** Integer operands: ids, labels, positions, indices. */
import { ForgeError } from "../error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bitcast } from "./elementwise.ts";

/**
 * Integers as kernels read them, u32: a negative i32 becomes an index beyond any axis.
 *
 * Errors    `dtype_mismatch` for floats.
 */
export function asIndices(op: string, name: string, x: Tensor): Tensor {
  if (x.dtype === "u32" || x.dtype === "i32") return bitcast(x, "u32");
  throw new ForgeError({
    code: "dtype_mismatch",
    what: `${op}: ${name} are no integers.`,
    got: x.dtype,
    fix: "make them u32, for instance tensor(new Uint32Array([...])), or cast them",
  });
}
