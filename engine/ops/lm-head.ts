/** The language-model head: log-probs of labels without ever holding all logits. */
import { ForgeError } from "../error.ts";
import { emitDispatch } from "../graph/dispatch.ts";
import type { KernelOp, LowerContext, Operand } from "../graph/kernel.ts";
import { formatShape } from "../tensor/shape.ts";
import { makeNode, type Node, Tensor, type TensorType } from "../tensor/tensor.ts";
import { cast } from "./elementwise.ts";
import { asIndices } from "./indices.ts";
import { type LogitsChunk, lmHeadBackward, lmHeadForward } from "./lm-head-variants.ts";
import { product } from "./matmul.ts";
import { contiguousMatmul } from "./matmul-variants.ts";

/** Logits of a chunk: at most this many, so that a chunk of rows fits where a batch of logits would not (16 MiB). */
const CHUNK_ELEMENTS = 2 ** 22;

interface Attributes {
  readonly temperature: number;
  readonly softcap: number;
  /** Rows of a chunk; 0 for as many as fit. */
  readonly chunkRows: number;
}

interface Sizes {
  readonly rows: number;
  readonly width: number;
  readonly vocab: number;
}

function sizesOf(node: Node): Sizes {
  const [hidden, weight] = node.inputs as readonly [Tensor, Tensor];
  return {
    rows: hidden.shape[0] as number,
    width: hidden.shape[1] as number,
    vocab: weight.shape[0] as number,
  };
}

/** A chunk of rows. */
interface Rows {
  readonly start: number;
  readonly rows: number;
}

/** Chunks of rows, sized evenly. */
function chunksOf({ rows, vocab }: Sizes, { chunkRows }: Attributes): Rows[] {
  const most = chunkRows || Math.max(1, Math.floor(CHUNK_ELEMENTS / vocab));
  const count = Math.ceil(rows / most);
  const size = Math.ceil(rows / Math.max(1, count));
  const chunks: Rows[] = [];
  for (let start = 0; start < rows; start += size)
    chunks.push({ start, rows: Math.min(size, rows - start) });
  return chunks;
}

/** Emits logits [rows, vocab] = hidden[start …] · weightᵀ. */
function emitLogits(context: LowerContext, sizes: Sizes, chunk: Rows, logits: Operand): void {
  const { width, vocab } = sizes;
  product(
    context,
    {
      ...contiguousMatmul("NT", { m: chunk.rows, n: vocab, k: width }),
      offsetA: chunk.start * width,
    },
    { a: context.input(0), b: context.input(1), c: logits },
  );
}

function logitsChunk(sizes: Sizes, chunk: Rows, a: Attributes): LogitsChunk {
  return {
    rows: chunk.rows,
    cols: sizes.vocab,
    rowOffset: chunk.start,
    softcap: a.softcap,
    temperature: a.temperature,
  };
}

/** Inputs hidden, weight, labels. Outputs logprob, lse, entropy, each [rows]. */
const lmHeadOp: KernelOp = {
  name: "lm_head",
  kind: "kernel",
  readsHeld: [1],
  lower: (context, node) => {
    const sizes = sizesOf(node);
    const a = node.attributes as unknown as Attributes;
    const chunks = chunksOf(sizes, a);
    const logits = context.scratch("logits", (chunks[0]?.rows ?? 0) * sizes.vocab);
    for (const chunk of chunks) {
      emitLogits(context, sizes, chunk, logits);
      emitDispatch(context, lmHeadForward(context.device, logitsChunk(sizes, chunk, a)), {
        bindings: [
          logits.slot,
          context.input(2).slot,
          ...[0, 1, 2].map((o) => context.output(o).slot),
        ],
        flops: 8 * chunk.rows * sizes.vocab,
      });
    }
  },
  gradient: (node, douts, isNeeded) => {
    const present = [0, 1, 2].map((o) => douts[o] !== undefined);
    if (!present.includes(true) || sizesOf(node).rows === 0) return [];
    const [hidden, weight, labels] = node.inputs as readonly [Tensor, Tensor, Tensor];
    const inputs = [
      hidden,
      weight,
      labels,
      new Tensor(node, 1),
      new Tensor(node, 2),
      ...douts.filter((d) => d !== undefined),
    ];
    const back = makeNode(
      lmHeadGradientOp,
      inputs,
      { ...node.attributes, present },
      [hidden, weight].map(typeOf),
    );
    const dweight = isNeeded(1) ? cast(new Tensor(back, 1), weight.dtype) : undefined;
    return [new Tensor(back, 0), dweight, undefined];
  },
};

function typeOf(t: Tensor): TensorType {
  return { shape: t.shape, dtype: "f32" };
}

/** Inputs hidden, weight, labels, lse, entropy, then the gradients that are present. Outputs dhidden, dweight. */
const lmHeadGradientOp: KernelOp = {
  name: "lm_head_gradient",
  kind: "kernel",
  readsHeld: [1],
  lower: (context, node) => {
    const sizes = sizesOf(node);
    const { width, vocab } = sizes;
    const a = node.attributes as unknown as Attributes & { present: [boolean, boolean, boolean] };
    const chunks = chunksOf(sizes, a);
    const logits = context.scratch("logits", (chunks[0]?.rows ?? 0) * vocab);
    let next = 5;
    const douts = a.present.map((has) => context.input(has ? next++ : 3).slot);
    const [dlogprob, dlse, dentropy] = a.present;
    chunks.forEach((chunk, i) => {
      emitLogits(context, sizes, chunk, logits);
      emitDispatch(
        context,
        lmHeadBackward(context.device, logitsChunk(sizes, chunk, a), { dlogprob, dlse, dentropy }),
        {
          bindings: [
            context.input(2).slot,
            context.input(3).slot,
            context.input(4).slot,
            ...douts,
            logits.slot,
          ],
          flops: 10 * chunk.rows * vocab,
        },
      );
      if (context.isUsed(0)) {
        const shape = {
          ...contiguousMatmul("NN", { m: chunk.rows, n: width, k: vocab }),
          offsetC: chunk.start * width,
        };
        product(context, shape, { a: logits, b: context.input(1), c: context.output(0) });
      }
      if (context.isUsed(1)) {
        const shape = {
          ...contiguousMatmul("TN", { m: vocab, n: width, k: chunk.rows }),
          offsetB: chunk.start * width,
        };
        product(
          context,
          shape,
          { a: logits, b: context.input(0), c: context.output(1) },
          { accumulate: i > 0 },
        );
      }
    });
  },
};

/** Options of {@link lmHead}. */
export interface LmHeadOptions {
  /** Logits are divided by it. Default 1. */
  readonly temperature?: number;
  /** Logits become c · tanh(logit / c) first (Gemma 2). Default: off. */
  readonly softcap?: number;
  /** Rows whose logits are held at once. Default: as many as fit into 16 MiB. */
  readonly chunkRows?: number;
}

/** What {@link lmHead} gives for each row, all [N] f32 and differentiable. */
export interface LmHeadResult {
  /** Log-probability of the label; 0 where there is none. */
  readonly logprob: Tensor;
  /** Log-sum-exp of the (capped, tempered) logits. */
  readonly lse: Tensor;
  /** Entropy of the row's distribution, in nats. */
  readonly entropy: Tensor;
}

/**
 * Log-prob of labels, log-sum-exp and entropy of `hidden · weightᵀ`, in chunks of rows: the logits of a whole batch never
 * exist, forward or backward.
 *
 * Shapes    hidden [N, C] f32, weight [V, C] f32, f16 or bf16 (read in place), labels [N] u32 or i32 (a label ≥ V, such as −1, is none).
 * Errors    `shape_mismatch`; `dtype_mismatch`.
 * Kernel    shaders/lm-head*.wgsl and the matrix products
 */
export function lmHead(
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  options: LmHeadOptions = {},
): LmHeadResult {
  const [rows, width] = hidden.shape as [number, number];
  if (hidden.rank !== 2 || weight.rank !== 2 || weight.shape[1] !== width || labels.size !== rows) {
    throw new ForgeError({
      code: "shape_mismatch",
      what: "lmHead: hidden, weight and labels do not fit together.",
      got: [hidden, weight, labels].map((t) => formatShape(t.shape)).join(" · "),
      fix: "pass hidden [N, C], weight [V, C], labels [N]",
    });
  }
  const { temperature = 1, softcap = 0, chunkRows = 0 } = options;
  const row: TensorType = { shape: [rows], dtype: "f32" };
  const inputs = [cast(hidden, "f32"), weight, asIndices("lmHead", "labels", labels)];
  const node = makeNode(lmHeadOp, inputs, { temperature, softcap, chunkRows }, [row, row, row]);
  return { logprob: new Tensor(node, 0), lse: new Tensor(node, 1), entropy: new Tensor(node, 2) };
}
