/** Tensors laid out one behind the other in one flat tensor, made in place there. */
import type { KernelOp } from "../graph/kernel.ts";
import { makeTensor, type Tensor } from "../tensor/tensor.ts";

/** Lowered by the graph itself (`lower.ts`), since it decides where its inputs are made. */
const packOp: KernelOp = {
  name: "pack",
  kind: "kernel",
  lower: () => undefined,
  takesLayout: () => true,
};

/** Flat [length] f32 with `parts[i]` at element `offsets[i]` (multiples of 64); gaps are zeros. */
export function pack(parts: readonly Tensor[], offsets: readonly number[], length: number): Tensor {
  return makeTensor(packOp, parts, { offsets }, { shape: [length], dtype: "f32" });
}
