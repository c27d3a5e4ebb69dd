/** The keys and values of sequences that a model has seen: what decoding reads instead of computing them again. */
import { ForgeError } from "../error.ts";
import { State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CachedTokens, TransformerOptions } from "./transformer.ts";

/** Options of {@link KvCache}. */
export interface KvCacheOptions {
  /** Sequences that it holds at once. */
  readonly slots: number;
  /** Tokens that each may have. */
  readonly length: number;
  /** Default `f32`; `f16` where the adapter has it. */
  readonly dtype?: "f32" | "f16";
}

/**
 * A static cache: one state [slots, length, 2 · kvHeads · headDim] a layer, allocated at first use, never grown.
 *
 * What lies beyond the length of a sequence is never read, so cutting one short costs nothing.
 */
export class KvCache implements Disposable {
  readonly slots: number;
  readonly length: number;
  readonly layers: readonly State[];

  /** Errors: `argument_invalid`. */
  constructor(model: TransformerOptions, { slots, length, dtype = "f32" }: KvCacheOptions) {
    for (const [name, size] of [
      ["slots", slots],
      ["length", length],
    ] as const) {
      if (Number.isInteger(size) && size > 0) continue;
      throw new ForgeError({
        code: "argument_invalid",
        what: `KvCache: "${name}" is no positive integer.`,
        got: String(size),
        fix: "pass how many sequences it holds, and how many tokens each may have",
      });
    }
    const { layers, heads, kvHeads = heads, headDim = model.width / heads } = model;
    this.slots = slots;
    this.length = length;
    const shape = [slots, length, 2 * kvHeads * headDim];
    this.layers = Array.from(
      { length: layers },
      (_, i) => new State(shape, dtype, 0, `keys and values of layer ${i}`),
    );
  }

  /** Bytes of all layers. */
  get sizeBytes(): number {
    return this.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  }

  /** Rows of tokens in it: what `Transformer.hidden` takes instead of a forest. Shapes: slots and positions [N] u32. */
  rows(slots: Tensor, positions: Tensor): CachedTokens {
    return { slots, positions, caches: this.layers };
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    for (const layer of this.layers) layer[Symbol.dispose]();
  }
}
