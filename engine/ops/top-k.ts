/** The k largest elements along an axis. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { normalizeAxis } from "../tensor/shape.ts";
import { makeNode, Tensor } from "../tensor/tensor.ts";
import { cast, equal, where } from "./elementwise.ts";
import { iota } from "./iota.ts";
import { sum } from "./reduce.ts";
import { chooseRow } from "./row-variants.ts";
import { axisBack, axisLast, inputRows, takesRows } from "./rows.ts";
import { TOP_K } from "./scan-variants.ts";
import { unsqueeze } from "./view.ts";

/** Input x [..., C]. Outputs values and indices, both [..., k]. */
const topKOp: KernelOp = {
  name: "top_k",
  kind: "kernel",
  takesLayout: (_input, layout) => takesRows(layout),
  lower: (context, node) => {
    const k = node.outputs[0]?.shape.at(-1) as number;
    const call = { ...inputRows(context, node), k };
    if (call.rows * k === 0) return;
    emitDispatch(context, chooseRow(TOP_K, context.device, call), {
      bindings: [context.input(0).slot, context.output(0).slot, context.output(1).slot],
      flops: call.rows * call.cols,
    });
  },
  /** dx[..., c] = Σ over j of dvalues[..., j] where indices[..., j] = c: one reduction that holds no [..., k, C]. */
  gradient: (node, [dvalues]) => {
    const [x] = node.inputs as readonly [Tensor];
    if (!dvalues) return [undefined];
    const indices = new Tensor(node, 1);
    const columns = iota([...indices.shape, x.shape.at(-1) as number], -1, "u32");
    const hits = equal(columns, unsqueeze(indices, -1));
    return [sum(where(hits, unsqueeze(dvalues, -1), 0), -2)];
  },
};

/** What {@link topK} gives. */
export interface TopK {
  /** The largest elements, in descending order; f32, differentiable. */
  readonly values: Tensor;
  /** Where they are along the axis; u32. Among equals the lower index is first. */
  readonly indices: Tensor;
}

/**
 * The k largest elements along an axis, in descending order.
 *
 * Shapes    x [..., C], without NaN → values and indices [..., k].
 * Gradient  dvalues go back to where the values came from; k·C comparisons a row.
 * Errors    `rank_mismatch`; `argument_invalid` unless 0 ≤ k ≤ C.
 * Kernel    shaders/top-k.wgsl
 */
export function topK(x: Tensor, k: number, axis = -1): TopK {
  const at = normalizeAxis("topK", axis, x.rank);
  const rows = axisLast(x, at);
  const cols = rows.shape.at(-1) as number;
  if (!(Number.isInteger(k) && k >= 0 && k <= cols)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "topK: there are not that many elements.",
      got: `k = ${k}`,
      why: `axis ${axis} has ${cols} elements`,
      fix: "use Math.min(k, size of the axis)",
    });
  }
  const shape = [...rows.shape.slice(0, -1), k];
  const types = [{ shape, dtype: "f32" } as const, { shape, dtype: "u32" } as const];
  const node = makeNode(topKOp, [cast(rows, "f32")], {}, types);
  return { values: axisBack(new Tensor(node, 0), at), indices: axisBack(new Tensor(node, 1), at) };
}
