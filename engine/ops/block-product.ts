/** Products with a matrix of blocks, each of which takes some columns of x to some columns of the result. */
import { ForgeError } from "../error.ts";
import { Expression } from "../graph/expression.ts";
import type { KernelOp, LowerContext } from "../graph/kernel.ts";
import { mapKernel } from "../graph/map-kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { full, makeTensor, type Node, type Tensor } from "../tensor/tensor.ts";
import { concat } from "./concat.ts";
import { matmul, product } from "./matmul.ts";
import { contiguousMatmul } from "./matmul-variants.ts";
import { reshape, slice, transpose } from "./view.ts";

/** One block. Blocks take the columns of x one after the other. */
export interface Block {
  /** [columns, width]: stored transposed, as PyTorch's `Linear` is. */
  readonly weight: Tensor;
  /** First column of the result that it gives. */
  readonly start: number;
}

/** A block as the op sees it: `from` is its first column of x. */
interface Place {
  readonly from: number;
  readonly width: number;
  readonly start: number;
  readonly columns: number;
}

function placesOf(node: Node): readonly Place[] {
  return node.attributes["places"] as readonly Place[];
}

/** Inputs x, then the weights. */
const blockProductOp: KernelOp = {
  name: "block_product",
  kind: "kernel",
  lower: (context, node) => {
    const [rows = 0, columns = 0] = node.outputs[0]?.shape ?? [];
    const stride = node.inputs[0]?.shape[1] as number;
    if (rows === 0) return;
    let filled = 0;
    const inOrder = placesOf(node).map((place, i) => ({ place, weight: i + 1 }));
    for (const { place, weight } of inOrder.sort((p, q) => p.place.start - q.place.start)) {
      const { from, width, start, columns: n } = place;
      fillZeros(context, node, filled, start);
      filled = start + n;
      const sizes = { m: rows, n, k: width };
      const strides = { lda: stride, offsetA: from, ldc: columns, offsetC: start };
      const operands = { a: context.input(0), b: context.input(weight), c: context.output(0) };
      product(context, { ...contiguousMatmul("NT", sizes), ...strides }, operands);
    }
    fillZeros(context, node, filled, columns);
  },
  gradient: (node, [dy]) => {
    const [x, ...weights] = node.inputs as readonly [Tensor, ...Tensor[]];
    if (!dy) return [];
    const places = placesOf(node);
    const douts = places.map(({ start, columns }) => slice(dy, 1, start, start + columns));
    const dx = concat(
      weights.map((weight, i) => matmul(douts[i] as Tensor, weight)),
      1,
    );
    const dweights = places.map(({ from, width }, i) =>
      matmul(transpose(douts[i] as Tensor), slice(x, 1, from, from + width)),
    );
    return [dx, ...dweights];
  },
};

/** Zeros in columns [start, end) of the output. */
function fillZeros(context: LowerContext, node: Node, start: number, end: number): void {
  if (start === end) return;
  const [rows = 0, columns = 0] = node.outputs[0]?.shape ?? [];
  const { slot } = context.output(0);
  const shape = [rows, end - start];
  const zeros = new Expression(full(shape, 0), { canonical: (t) => t, operand: () => undefined });
  const layout = { shape, strides: [columns, 1], offset: start };
  context.call(mapKernel(context.device, "zeros", zeros, { slot, layout }, "f32"));
}

/**
 * y[:, start … start + n] = x[:, from … from + k] · weightᵀ for each block; columns that no block gives are zeros.
 *
 * Shapes    x [..., K], weights [n, k] whose widths k add up to K → y [..., columns]; all f32.
 * Gradient  dx = dy · weight, dweight = dyᵀ · x, of the columns of each.
 * Errors    `shape_mismatch` when the blocks do not take the columns of x; `argument_invalid` when two give the same
 *           column, or one ends beyond the last; `dtype_mismatch`.
 * Kernel    shaders/matmul-*.wgsl
 */
export function blockProduct(x: Tensor, blocks: readonly Block[], columns: number): Tensor {
  let from = 0;
  const places = blocks.map(({ weight, start }): Place => {
    const [n = 0, width = 0] = weight.shape;
    const place = { from, width, start, columns: n };
    from += width;
    return place;
  });
  check(x, blocks, places, columns);
  const [only] = places;
  if (places.length === 1 && only?.columns === columns) {
    return matmul(x, transpose((blocks[0] as Block).weight)); // which takes epilogues
  }
  const rows = reshape(x, [-1, from]);
  const weights = blocks.map((b) => b.weight);
  const type = { shape: [rows.shape[0] as number, columns], dtype: "f32" } as const;
  const y = makeTensor(blockProductOp, [rows, ...weights], { places }, type);
  return reshape(y, [...x.shape.slice(0, -1), columns]);
}

function check(
  x: Tensor,
  blocks: readonly Block[],
  places: readonly Place[],
  columns: number,
): void {
  const tensors = [x, ...blocks.map((b) => b.weight)];
  const width = places.reduce((sum, p) => sum + p.width, 0);
  const ends = [...places].sort((p, q) => p.start - q.start);
  const isApart = ends.every(
    (p, i) => p.start >= 0 && p.start + p.columns <= (ends[i + 1]?.start ?? columns),
  );
  const problems = [
    ["dtype_mismatch", !tensors.every((t) => t.dtype === "f32"), "all operands are f32"],
    [
      "shape_mismatch",
      x.rank < 2 || x.shape.at(-1) !== width || blocks.some((b) => b.weight.rank !== 2),
      "the widths of the blocks, which are matrices, add up to the last size of x",
    ],
    ["argument_invalid", !isApart, "blocks give different columns of the result"],
  ] as const;
  const broken = problems.find(([, isBroken]) => isBroken);
  if (!broken) return;
  const starts = blocks.map((b) => `${formatShape(b.weight.shape)} at ${b.start}`).join(" · ");
  throw new ForgeError({
    code: broken[0],
    what: "blockProduct: the operands do not fit together.",
    got: `x ${formatShape(x.shape)} · blocks ${starts} of ${columns} columns`,
    why: broken[2],
    fix: "check the sizes of the blocks",
  });
}
