/** Rows of a table by id, with a gradient that needs no atomics. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp } from "../graph/kernel.ts";
import { isFloat, isHeldOnly } from "../tensor/dtype.ts";
import { formatShape, sizeOf } from "../tensor/shape.ts";
import { makeTensor, type Tensor, type TensorType } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import {
  type EmbeddingShape,
  embeddingBackward,
  embeddingForward,
  embeddingLinks,
  embeddingZero,
} from "./embedding-variants.ts";
import { withHeld } from "./held-operands.ts";
import { asIndices } from "./indices.ts";
import { reshape } from "./view.ts";

function shapeOf(ids: Tensor, vocab: number, cols: number): EmbeddingShape {
  return { tokens: ids.size, cols, vocab };
}

const embeddingOp: KernelOp = {
  name: "embedding",
  kind: "kernel",
  readsHeld: [1],
  lower: (context, node) => {
    const [ids, table] = node.inputs as readonly [Tensor, Tensor];
    const [vocab, cols] = table.shape as readonly [number, number];
    if (ids.size === 0) return;
    const held = context.input(1).slot;
    emitDispatch(context, withHeld(embeddingForward(shapeOf(ids, vocab, cols)), { table: held }), {
      bindings: [context.input(0).slot, held, context.output(0).slot, context.status().slot],
    });
  },
  gradient: (node, [dy], isNeeded) => {
    const [ids, table] = node.inputs as readonly [Tensor, Tensor];
    if (!dy || !isNeeded(1)) return [undefined, undefined];
    const links = makeTensor(linksOp, [ids], {}, { shape: [2, ids.size], dtype: "u32" });
    const dtable = makeTensor(
      embeddingGradientOp,
      [ids, links, dy],
      {},
      { shape: table.shape, dtype: "f32" },
    );
    return [undefined, cast(dtable, table.dtype)];
  },
};

/** Where each id occurs next, and whether it occurs first: depends on the ids only, so all tables share it. */
const linksOp: KernelOp = {
  name: "embedding_links",
  kind: "kernel",
  lower: (context, node) => {
    const tokens = sizeOf(node.inputs[0]?.shape ?? []);
    if (tokens === 0) return;
    emitDispatch(context, embeddingLinks(context.device, tokens), {
      bindings: [context.input(0).slot, context.output(0).slot],
    });
  },
};

const embeddingGradientOp: KernelOp = {
  name: "embedding_gradient",
  kind: "kernel",
  lower: (context, node) => {
    const [ids] = node.inputs as readonly [Tensor];
    const [{ shape: table }] = node.outputs as readonly [TensorType];
    const [vocab, cols] = table as readonly [number, number];
    const shape = shapeOf(ids, vocab, cols);
    const bindings = [
      context.input(0).slot,
      context.input(1).slot,
      context.input(2).slot,
      context.output(0).slot,
    ];
    emitDispatch(context, embeddingZero(shape), { bindings });
    emitDispatch(context, embeddingBackward(shape, { isAccumulating: false }), { bindings });
  },
};

/**
 * Rows of `table` by id.
 *
 * Shapes    ids [...] u32 or i32, table [V, C] → [..., C] f32. A table of f16 or bf16 is read in place.
 * Gradient  dtable[v] = Σ over positions of id v, in ascending order of position: the same bits every time.
 * Errors    `rank_mismatch`; `dtype_mismatch`; an id outside of the table gives zeros, and `index_out_of_range` at the
 *           next read.
 * Kernel    shaders/embedding*.wgsl
 */
export function embedding(ids: Tensor, table: Tensor): Tensor {
  if (table.rank !== 2) {
    throw new ForgeError({
      code: "rank_mismatch",
      what: "embedding: the table is no matrix.",
      got: formatShape(table.shape),
      fix: "pass a table of shape [V, C]",
    });
  }
  const cols = table.shape[1] as number;
  const flat = reshape(asIndices("embedding", "ids", ids), [ids.size]);
  const isFloats = isFloat(table.dtype) || isHeldOnly(table.dtype);
  const type: TensorType = { shape: [ids.size, cols], dtype: "f32" };
  const rows = makeTensor(embeddingOp, [flat, isFloats ? table : cast(table, "f32")], {}, type);
  return reshape(rows, [...ids.shape, cols]);
}
