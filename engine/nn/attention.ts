/** Self-attention with its projections. */
import { packedAttention } from "../ops/attention.ts";
import { type CacheRows, cacheAttention } from "../ops/cache-attention.ts";
import { concat } from "../ops/concat.ts";
import { type RopeOptions, rope } from "../ops/rope.ts";
import { reshape, slice } from "../ops/view.ts";
import type { WeightDType } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Forest } from "./forest.ts";
import type { Init } from "./init.ts";
import { Linear } from "./linear.ts";
import { RmsNorm } from "./norm.ts";
import type { Random } from "./random.ts";

/** Options of {@link SelfAttention}. */
export interface SelfAttentionOptions {
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values; queries share them in groups. Default: `heads`. */
  readonly kvHeads?: number;
  /** Default: width / heads. */
  readonly headDim?: number;
  /** Whether the projection to queries, keys and values has a bias. Default true. */
  readonly hasBias?: boolean;
  /** Whether the projection back has one. Default: `hasBias`. */
  readonly hasOutputBias?: boolean;
  /** Normalizes each head of queries and keys before they are rotated (Qwen 3, Gemma 3). Default: not. */
  readonly headNorm?: { readonly eps: number; readonly offset?: number };
  /** Rotates queries and keys by their depth. Default: not. */
  readonly rope?: RopeOptions;
  /** A query sees keys less than this many tokens above it. Default: all. */
  readonly window?: number;
  /** Scores become c · tanh(score / c). Default: off. */
  readonly softcap?: number;
  /** Scores are multiplied by it. Default 1/√headDim. */
  readonly scale?: number;
  /** How the projections of the queries, keys and values start; and that of the output. Default: {@link Linear}'s. */
  readonly init?: Init;
  readonly outputInit?: Init;
  /** What the matrices are held in. Default `f32`. */
  readonly dtype?: WeightDType;
}

/** Rows of tokens in the cache of one layer. */
export interface CachedRows extends CacheRows {
  /** Keys and values, see {@link cacheAttention}. */
  readonly cache: State;
}

/** What the tokens of a layer see: the forest they stand in, or what a cache holds of their sequences. */
export type Sight = Forest | CachedRows;

/** Where tokens stand in their sequences: [T] u32. */
export function depthOf(sight: Forest | CacheRows): Tensor {
  return "end" in sight ? sight.depth : sight.positions;
}

/** Grouped-query self-attention over a forest or a cache. Source: Ainslie et al. 2023, arXiv:2305.13245. */
export class SelfAttention {
  /** To queries, keys and values, side by side: [width, (heads + 2 · kvHeads) · headDim]. */
  readonly qkv: Linear;
  readonly queryNorm: RmsNorm | undefined;
  readonly keyNorm: RmsNorm | undefined;
  /** From the heads back: [heads · headDim, width]. */
  readonly output: Linear;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly #options: SelfAttentionOptions;

  constructor(random: Random, options: SelfAttentionOptions) {
    const { width, heads, kvHeads = heads, headDim = width / heads, hasBias = true } = options;
    const { init, outputInit, headNorm, hasOutputBias = hasBias, dtype = "f32" } = options;
    this.heads = heads;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
    this.#options = options;
    this.qkv = new Linear(random, {
      inputs: width,
      outputs: (heads + 2 * kvHeads) * headDim,
      hasBias,
      dtype,
      ...(init ? { init } : {}),
    });
    this.queryNorm = headNorm && new RmsNorm({ width: headDim, ...headNorm });
    this.keyNorm = headNorm && new RmsNorm({ width: headDim, ...headNorm });
    this.output = new Linear(random, {
      inputs: heads * headDim,
      outputs: width,
      hasBias: hasOutputBias,
      dtype,
      ...(outputInit ? { init: outputInit } : {}),
    });
  }

  /** x [T, width] → [T, width]. Errors: `shape_mismatch`. */
  forward(x: Tensor, sight: Sight): Tensor {
    const { heads, kvHeads, headDim } = this;
    const { window, softcap, scale } = this.#options;
    const qkv = this.#turned(this.qkv.forward(x), sight);
    const options = {
      ...(window ? { window } : {}),
      ...(softcap ? { softcap } : {}),
      ...(scale ? { scale } : {}),
    };
    const shares = { heads, kvHeads, headDim };
    const seen =
      "end" in sight
        ? packedAttention(qkv, shares, { ...sight, ...options })
        : cacheAttention(qkv, sight.cache, sight, shares, options);
    return this.output.forward(reshape(seen, [x.shape[0] as number, heads * headDim]));
  }

  /** Queries and keys normalized and rotated: [T, (heads + 2 · kvHeads) · headDim] → the same. */
  #turned(qkv: Tensor, sight: Sight): Tensor {
    const { heads, kvHeads, headDim, queryNorm, keyNorm } = this;
    const { rope: rotation } = this.#options;
    if (!rotation && !queryNorm) return qkv;
    let split = reshape(qkv, [qkv.shape[0] as number, heads + 2 * kvHeads, headDim]);
    if (queryNorm && keyNorm) {
      const queries = queryNorm.forward(slice(split, 1, 0, heads));
      const keys = keyNorm.forward(slice(split, 1, heads, heads + kvHeads));
      split = concat([queries, keys, slice(split, 1, heads + kvHeads, heads + 2 * kvHeads)], 1);
    }
    if (rotation) split = rope(split, depthOf(sight), { ...rotation, heads: heads + kvHeads });
    return reshape(split, qkv.shape);
  }
}
