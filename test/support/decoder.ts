/**
 * The decoder that engines are measured with: GPT-2's layout, 842,496 parameters, 1,024 tokens. Weights and batch are those
 * of our own comparison with TensorFlow.js, jax-js and ONNX Runtime (research/peers/common.mjs), number for number.
 */
import type { Transformer, TransformerOptions } from "../../engine/index.ts";

/** A decoder and how much it is fed. */
export interface DecoderSizes {
  readonly vocab: number;
  /** Length of each sequence. */
  readonly length: number;
  readonly sequences: number;
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
}

/** The sizes of the comparison. */
export const PEERS_DECODER: DecoderSizes = {
  vocab: 256,
  length: 128,
  sequences: 8,
  layers: 4,
  heads: 4,
  width: 128,
};

/** The same decoder, small enough for a browser's software adapter. */
export const TINY_DECODER: DecoderSizes = {
  vocab: 32,
  length: 12,
  sequences: 2,
  layers: 2,
  heads: 2,
  width: 16,
};

/** Options of the {@link Transformer} of those sizes: GPT-2's choices. */
export function decoderOptions(sizes: DecoderSizes): TransformerOptions {
  const { vocab, layers, heads, width, length } = sizes;
  return {
    ...{ vocab, layers, heads, width },
    ...{ norm: "layer", mlp: "gelu", position: "learned", maxDepth: length, hasBias: true },
  };
}

/** mulberry32. */
function generator(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The weights of seed 1234 by the names that {@link Transformer} gives them: std 0.02, norms 1, biases 0. */
export function decoderWeights({
  vocab,
  length,
  layers,
  width,
}: DecoderSizes): Map<string, Float32Array> {
  const next = generator(1234);
  const weights = new Map<string, Float32Array>();
  const normal = (name: string, size: number): void => {
    const draw = (): number =>
      0.02 * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    weights.set(name, Float32Array.from({ length: size }, draw));
  };
  const constant = (name: string, size: number, value: number): void => {
    weights.set(name, new Float32Array(size).fill(value));
  };
  const linear = (name: string, inputs: number, outputs: number): void => {
    normal(`${name}.weight`, inputs * outputs);
    constant(`${name}.bias`, outputs, 0);
  };
  const norm = (name: string): void => {
    constant(`${name}.weight`, width, 1);
    constant(`${name}.bias`, width, 0);
  };
  normal("embedding.weight", vocab * width);
  normal("positions.weight", length * width);
  for (let l = 0; l < layers; l++) {
    norm(`layers.${l}.attentionNorm`);
    linear(`layers.${l}.attention.qkv`, width, 3 * width);
    linear(`layers.${l}.attention.output`, width, width);
    norm(`layers.${l}.mlpNorm`);
    linear(`layers.${l}.mlp.up`, width, 4 * width);
    linear(`layers.${l}.mlp.down`, 4 * width, width);
  }
  norm("norm");
  return weights;
}

/** The batch of seed 99: a token is 5 times the one before plus 17 four times in five, else random. */
export function decoderBatch({ vocab, length, sequences }: DecoderSizes): {
  tokens: Uint32Array;
  labels: Uint32Array;
} {
  const next = generator(99);
  const tokens = new Uint32Array(sequences * length);
  const labels = new Uint32Array(sequences * length);
  for (let s = 0; s < sequences; s++) {
    let token = Math.floor(next() * vocab);
    for (let t = 0; t < length; t++) {
      tokens[s * length + t] = token;
      token = next() < 0.8 ? (token * 5 + 17) % vocab : Math.floor(next() * vocab);
      labels[s * length + t] = token;
    }
  }
  return { tokens, labels };
}
