/** What elementwise ops take: operands of one dtype and one shape, numbers that fit it, and dtypes that have the op. */
import { ForgeError } from "../error.ts";
import { type DType, heldOnly, isFloat, isHeldOnly, promote } from "../tensor/dtype.ts";
import { broadcastShapes } from "../tensor/shape.ts";
import { full, type Operand, Tensor } from "../tensor/tensor.ts";
import { broadcastTo } from "./view.ts";

/**
 * Operands with one dtype and one shape; numbers take the dtype of the first tensor, `cast` brings f16 to f32.
 *
 * Errors    `dtype_mismatch`, also for a number that the dtype can not hold; `dtype_unsupported` for bf16; `shape_mismatch`.
 */
export function align(
  name: string,
  operands: readonly Operand[],
  cast: (x: Tensor, dtype: DType) => Tensor,
): Tensor[] {
  const first = operands.find((o): o is Tensor => o instanceof Tensor);
  const dtype = first?.dtype ?? "f32";
  if (isHeldOnly(dtype)) throw heldOnly(name, `${first}`);
  const tensors = operands.map((o) => (typeof o === "number" ? scalar(name, o, dtype) : o));
  const common = promote(
    name,
    tensors.map((t) => t.dtype),
  );
  const shape = broadcastShapes(
    name,
    tensors.map((t) => t.shape),
  );
  return tensors.map((t) => broadcastTo(cast(t, common), shape));
}

function scalar(name: string, value: number, dtype: DType): Tensor {
  const fits = isFloat(dtype) || (Number.isInteger(value) && (dtype === "i32" || value >= 0));
  if (fits) return full([], value, dtype);
  throw new ForgeError({
    code: "dtype_mismatch",
    what: `${name}: a number does not fit the dtype of the other operand.`,
    got: `${value} beside a tensor of ${dtype}`,
    why: "numbers take the dtype of the tensor beside them",
    fix: "cast the tensor first, for instance x.cast('f32')",
  });
}

/** Which dtypes an op has a meaning for. */
export type Domain = "any" | "signed" | "float";

/** Errors: `dtype_unsupported` when the op has no meaning for the operand's dtype. */
export function requireDomain(name: string, domain: Domain, x: Tensor): void {
  if (domain === "any" || isFloat(x.dtype) || (domain === "signed" && x.dtype === "i32")) return;
  throw new ForgeError({
    code: "dtype_unsupported",
    what: `${name}: there is no such op for ${x.dtype}.`,
    got: `${x}`,
    why:
      domain === "float" ? "it is defined for f32 and f16" : "it is defined for f32, f16 and i32",
    fix: "cast the operand first, for instance x.cast('f32')",
  });
}
