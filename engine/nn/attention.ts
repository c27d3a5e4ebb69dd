/** Self-attention with its projections. */
import { packedAttention } from "../ops/attention.ts";
import { type RopeOptions, rope } from "../ops/rope.ts";
import { reshape } from "../ops/view.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Forest } from "./forest.ts";
import type { Init } from "./init.ts";
import { Linear } from "./linear.ts";
import type { Random } from "./random.ts";

/** Options of {@link SelfAttention}. */
export interface SelfAttentionOptions {
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values; queries share them in groups. Default: `heads`. */
  readonly kvHeads?: number;
  /** Default: width / heads. */
  readonly headDim?: number;
  /** Whether both projections have a bias. Default true. */
  readonly hasBias?: boolean;
  /** Rotates queries and keys by their depth. Default: not. */
  readonly rope?: RopeOptions;
  /** A query sees keys less than this many tokens above it. Default: all. */
  readonly window?: number;
  /** Scores become c · tanh(score / c). Default: off. */
  readonly softcap?: number;
  /** How the projections of the queries, keys and values start; and that of the output. Default: {@link Linear}'s. */
  readonly init?: Init;
  readonly outputInit?: Init;
}

/** Grouped-query self-attention over a forest. Source: Ainslie et al. 2023, arXiv:2305.13245. */
export class SelfAttention {
  /** To queries, keys and values, side by side: [width, (heads + 2 · kvHeads) · headDim]. */
  readonly qkv: Linear;
  /** From the heads back: [heads · headDim, width]. */
  readonly output: Linear;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly #options: SelfAttentionOptions;

  constructor(random: Random, options: SelfAttentionOptions) {
    const { width, heads, kvHeads = heads, headDim = width / heads, hasBias = true } = options;
    const { init, outputInit } = options;
    this.heads = heads;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.#options = options;
    this.qkv = new Linear(random, {
      inputs: width,
      outputs: (heads + 2 * kvHeads) * headDim,
      hasBias,
      ...(init ? { init } : {}),
    });
    this.output = new Linear(random, {
      inputs: heads * headDim,
      outputs: width,
      hasBias,
      ...(outputInit ? { init: outputInit } : {}),
    });
  }

  /** x [T, width] → [T, width]. Errors: `shape_mismatch`. */
  forward(x: Tensor, forest: Forest): Tensor {
    const { heads, kvHeads, headDim } = this;
    const tokens = x.shape[0] as number;
    const { rope: rotation, window, softcap } = this.#options;
    let qkv = this.qkv.forward(x);
    if (rotation) {
      const split = reshape(qkv, [tokens, heads + 2 * kvHeads, headDim]);
      const turned = rope(split, forest.depth, { ...rotation, heads: heads + kvHeads });
      qkv = reshape(turned, qkv.shape);
    }
    const seen = packedAttention(
      qkv,
      { heads, kvHeads, headDim },
      {
        ...forest,
        ...(window ? { window } : {}),
        ...(softcap ? { softcap } : {}),
      },
    );
    return this.output.forward(reshape(seen, [tokens, heads * headDim]));
  }
}
