/** Matrix products, batched and with any transposition, on the kernel variants of `matmul-variants.ts`. */
import { ForgeError } from "../error.ts";
import type { KernelDispatch } from "../gpu/dispatch.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import { NotFusible } from "../graph/epilogue.ts";
import { Expression } from "../graph/expression.ts";
import type { KernelOp, LowerContext, Operand, Slot } from "../graph/kernel.ts";
import { mapKernel } from "../graph/map-kernel.ts";
import { isFloat, isHeldOnly, promote } from "../tensor/dtype.ts";
import { contiguous, type Layout, mergeTogether } from "../tensor/layout.ts";
import { broadcastShapes, formatShape } from "../tensor/shape.ts";
import { makeTensor, type Node, Tensor } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { type Held, transposingHeld, withHeld } from "./held-operands.ts";
import { matmulContest } from "./matmul-tuning.ts";
import {
  type MatmulMode,
  type MatmulOperand,
  type MatmulPlan,
  type MatmulShape,
  planMatmul,
} from "./matmul-variants.ts";
import { sumTo } from "./sum-to.ts";
import { broadcastTo, reshape, transpose } from "./view.ts";

/** Rows contiguous, or (transposed) columns contiguous; and batch axes that merge into two levels. */
function takesLayout(_input: number, layout: Layout): boolean {
  return matrixOf(layout) !== undefined;
}

interface Matrix {
  readonly isTransposed: boolean;
  /** Stride between stored rows. */
  readonly ld: number;
}

function matrixOf({ shape, strides }: Layout): Matrix | undefined {
  const [rows, cols] = shape.slice(-2) as [number, number];
  const [rowStride, colStride] = strides.slice(-2) as [number, number];
  if (colStride === 1 || cols === 1)
    return { isTransposed: false, ld: rows === 1 ? cols : rowStride };
  if (rowStride === 1 || rows === 1) return { isTransposed: true, ld: colStride };
  return undefined;
}

const matmulOp: KernelOp = {
  name: "matmul",
  kind: "kernel",
  hasEpilogue: true,
  readsHeld: [0, 1],
  takesLayout,
  lower: (context, node) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    const operands = aligned(context, context.input(0), context.input(1), a, b);
    const out = context.output(0);
    if (out.slot.elements === 0) return;
    product(context, operands.shape, { a: operands.a, b: operands.b, c: out }, { node });
  },
  gradient: (node, [dc], isNeeded) => {
    const [a, b] = node.inputs as readonly [Tensor, Tensor];
    if (!dc) return [undefined, undefined];
    // of an operand that is held in bf16 none is ever needed
    return [
      isNeeded(0) ? cast(sumTo(matmul(dc, transpose(b)), a.shape), a.dtype) : undefined,
      isNeeded(1) ? cast(sumTo(matmul(transpose(a), dc), b.shape), b.dtype) : undefined,
    ];
  },
};

/** Brings both operands to one of the modes NN, NT, TN with a batch of at most two levels, copying only what must be. */
function aligned(
  context: LowerContext,
  first: Operand,
  second: Operand,
  a: Tensor,
  b: Tensor,
): { a: Operand; b: Operand; shape: MatmulShape } {
  let left = first;
  let right = second;
  const bothTransposed =
    matrixOf(left.layout)?.isTransposed && matrixOf(right.layout)?.isTransposed;
  if (bothTransposed) right = copied(context, right, b);
  if (batchOf(left.layout, right.layout).sizes.length > 2) {
    left = copied(context, left, a);
    right = copied(context, right, b);
  }
  const batch = batchOf(left.layout, right.layout);
  const [am, bm] = [matrixOf(left.layout) as Matrix, matrixOf(right.layout) as Matrix];
  const mode: MatmulMode = am.isTransposed ? "TN" : bm.isTransposed ? "NT" : "NN";
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape.at(-1) as number;
  const [outer, inner] = [batch.sizes.at(-2) ?? 1, batch.sizes.at(-1) ?? 1];
  return {
    a: left,
    b: right,
    shape: {
      mode,
      m,
      n,
      k,
      batchOuter: outer,
      batchInner: inner,
      lda: am.ld,
      ldb: bm.ld,
      ldc: n,
      offsetA: left.layout.offset,
      offsetB: right.layout.offset,
      offsetC: 0,
      outerA: batch.a.at(-2) ?? 0,
      outerB: batch.b.at(-2) ?? 0,
      outerC: inner * m * n,
      innerA: batch.a.at(-1) ?? 0,
      innerB: batch.b.at(-1) ?? 0,
      innerC: m * n,
    },
  };
}

function batchOf(a: Layout, b: Layout): { sizes: number[]; a: number[]; b: number[] } {
  const lead = (l: Layout): Layout => ({
    shape: l.shape.slice(0, -2),
    strides: l.strides.slice(0, -2),
    offset: 0,
  });
  const { shape, strides } = mergeTogether([lead(a), lead(b)]);
  return { sizes: shape, a: strides[0] ?? [], b: strides[1] ?? [] };
}

/** A contiguous copy; of what is packed, in f32. */
function copied(context: LowerContext, from: Operand, like: Tensor): Operand {
  const dtype = from.slot.packing ? "f32" : like.dtype;
  const copy = context.scratch("matmul operand", like.size, dtype);
  const to = { slot: copy.slot, layout: contiguous(like.shape) };
  const expression = Expression.ofLeaf({ ...from, dtype: like.dtype }, like);
  context.call(mapKernel(context.device, "copy", expression, to, dtype));
  return to;
}

/** How {@link product} stores. */
export interface ProductOptions {
  /** The matmul node whose epilogue is fused into the store. */
  readonly node?: Node;
  /** Adds to c instead of overwriting it. */
  readonly accumulate?: boolean;
}

/** Emits a product with the best variant, its epilogue fused into the last dispatch. Other ops build on it. */
export function product(
  context: LowerContext,
  shape: MatmulShape,
  operands: Readonly<Record<"a" | "b" | "c", Operand>>,
  options: ProductOptions = {},
): void {
  const { node, accumulate } = options;
  const canRound = context.device.matmulPrecision === "f16";
  const { variant } = context.device.tuning.choose(matmulContest(context.device, shape, canRound));
  const plan = planMatmul(variant, context.device, shape);
  const scratch =
    plan.scratchElements > 0
      ? context.scratch("matmul scratch", plan.scratchElements, operands.b.slot.dtype)
      : undefined;
  const at = (name: MatmulOperand): Operand =>
    name === "scratch" ? (scratch as Operand) : operands[name];
  plan.steps.forEach((step, i) => {
    const isLast = i === plan.steps.length - 1;
    const epilogue = isLast && node ? context.epilogue : undefined;
    const width = variant.hook === "store4" ? 4 : 1;
    if (epilogue && width === 4 && !epilogue.isVector)
      throw new NotFusible(new Tensor(node as Node, 0));
    const bindings = step.operands.map((o) => at(o).slot) as [Slot, Slot, ...Slot[]];
    emitDispatch(context, heldStep(step, bindings), {
      bindings,
      flops: isLast ? 2 * shape.m * shape.n * shape.k * shape.batchOuter * shape.batchInner : 0,
      ...(epilogue ? { epilogue: epilogue.at(width), hook: variant.hook } : {}),
      ...(isLast && accumulate ? { accumulate: variant.hook } : {}),
    });
  });
}

/** The dispatch of a step for operands as they are held. */
export function heldStep(
  { dispatch, operands }: MatmulPlan["steps"][number],
  [first, second]: readonly [Held, Held, ...Held[]],
): KernelDispatch {
  return operands.includes("c")
    ? withHeld(dispatch, { a: first, b: second })
    : transposingHeld(dispatch, first);
}

/**
 * Matrix product `c = a · b`.
 *
 * Shapes    a [..., M, K], b [..., K, N] → c [..., M, N]; leading batch dimensions broadcast. Transposed views are read
 *           in place. Operands may be f16 or bf16; products are summed in f32, and c is f16 only when both are f16.
 * Gradient  da = dc · bᵀ, db = aᵀ · dc.
 * Errors    `shape_mismatch` when a's last size differs from b's second-to-last; `rank_mismatch` below rank 2;
 *           `dtype_mismatch`.
 * Kernel    shaders/matmul-*.wgsl
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  check(a, b);
  const dtype = promote(
    "matmul",
    [a.dtype, b.dtype].map((d) => (isHeldOnly(d) ? "f32" : d)),
  );
  if (!isFloat(dtype)) return cast(matmul(cast(a, "f32"), cast(b, "f32")), dtype);
  if (dtype === "f16") return cast(floatProduct(a, b), dtype);
  return floatProduct(a, b);
}

/** The product in f32 of f32 or f16 operands. */
function floatProduct(a: Tensor, b: Tensor): Tensor {
  const [m, n] = [a.shape.at(-2) as number, b.shape.at(-1) as number];
  if (b.rank === 2 && a.rank > 2) {
    const rows = reshape(a, [-1, a.shape.at(-1) as number]);
    return reshape(floatProduct(rows, b), [...a.shape.slice(0, -1), n]);
  }
  const batch = broadcastShapes("matmul", [a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  const inputs = [
    broadcastTo(a, [...batch, ...a.shape.slice(-2)]),
    broadcastTo(b, [...batch, ...b.shape.slice(-2)]),
  ];
  return makeTensor(matmulOp, inputs, {}, { shape: [...batch, m, n], dtype: "f32" });
}

function check(a: Tensor, b: Tensor): void {
  const got = `a ${formatShape(a.shape)} ${a.dtype} · b ${formatShape(b.shape)} ${b.dtype}`;
  if (a.rank < 2 || b.rank < 2) {
    throw new ForgeError({
      code: "rank_mismatch",
      what: "matmul: operands need two axes or more.",
      got,
      fix: "reshape a vector to [1, K] or [K, 1]",
    });
  }
  if (a.shape.at(-1) !== b.shape.at(-2)) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "matmul: inner sizes differ.",
      got,
      why: `a.shape.at(-1) = ${a.shape.at(-1)} must equal b.shape.at(-2) = ${b.shape.at(-2)}`,
      fix: "transpose an operand, or check the size of the layer that made it",
    });
  }
}
