/** Low-rank matrices that are trained in the place of a linear layer's weight. */
import { blockProduct } from "../ops/block-product.ts";
import { add, cast, mul } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { transpose } from "../ops/view.ts";
import { type Initial, parameter, type State } from "../tensor/state.ts";
import { type Operand, type Tensor, tensor } from "../tensor/tensor.ts";

/** What an adapter adds to some columns of a layer's output. */
export interface AdapterPart {
  /** First column, and how many. */
  readonly start: number;
  readonly columns: number;
  readonly rank: number;
  /** What B · A · x is multiplied by. */
  readonly scale: number;
  /** How A [rank, inputs] and B [columns, rank] start. */
  readonly a: Float32Array;
  readonly b: Initial;
}

/**
 * Adds scale · B · A · x to columns of a linear layer's output: to one range, or to several, each with matrices of its own.
 * Source: Hu et al. 2021, arXiv:2106.09685.
 */
export class LowRankAdapter {
  /** A of each part, one below the other: [Σ ranks, inputs]. */
  readonly a: State;
  /** B of each part: [columns, rank]. */
  readonly b: readonly State[];
  readonly parts: readonly Omit<AdapterPart, "a" | "b">[];
  readonly #outputs: number;
  readonly #scale: Operand;

  constructor(inputs: number, outputs: number, parts: readonly AdapterPart[]) {
    const ranks = parts.reduce((sum, p) => sum + p.rank, 0);
    const a = new Float32Array(ranks * inputs);
    let row = 0;
    for (const part of parts) {
      a.set(part.a, row * inputs);
      row += part.rank;
    }
    this.a = parameter([ranks, inputs], a, "");
    this.b = parts.map((part) => parameter([part.columns, part.rank], part.b, ""));
    this.parts = parts.map(({ start, columns, rank, scale }) => ({ start, columns, rank, scale }));
    this.#outputs = outputs;
    this.#scale = scaleOf(parts);
  }

  /** x [..., inputs] → [..., outputs], zeros in columns that have no part. Errors: `shape_mismatch`. */
  forward(x: Tensor): Tensor {
    return this.#expand(matmul(x, transpose(this.a)));
  }

  /** weight [inputs, outputs] + sign · scale · (B · A)ᵀ in f32: the weight that a layer without adapter needs. */
  addedTo(weight: Tensor, sign: 1 | -1 = 1): Tensor {
    return add(cast(weight, "f32"), mul(this.#expand(transpose(this.a)), sign));
  }

  /** [..., Σ ranks] → [..., outputs]. */
  #expand(low: Tensor): Tensor {
    const blocks = this.b.map((weight, i) => ({ weight, start: this.parts[i]?.start as number }));
    return blockProduct(mul(low, this.#scale), blocks, this.#outputs);
  }
}

/** The scale of each row of A; one number where all are the same. */
function scaleOf(parts: readonly AdapterPart[]): Operand {
  const scales = parts.flatMap((p) => new Array<number>(p.rank).fill(p.scale));
  const [first = 1] = scales;
  return scales.every((s) => s === first) ? first : tensor(Float32Array.from(scales));
}
