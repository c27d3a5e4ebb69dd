/**
 * The decoder of the training benchmark, as numbers: sizes, weights, one batch, and what every engine must get from them.
 * It knows no engine, so that all of them train the same thing.
 */
import { gaussian, generator } from "./numbers.ts";

/** Sizes: 842,496 parameters, 1,024 tokens a step. */
export const DECODER = {
  vocab: 256,
  tokens: 128,
  batch: 8,
  width: 128,
  heads: 4,
  layers: 4,
  hidden: 512,
} as const;

/** What all engines agree on: the first loss, the norm of its gradient, and the loss after twelve Adam steps (lr 1e-3). */
export const GOLDEN = {
  firstLoss: { value: 5.56816, tolerance: 2e-5 },
  gradNorm: { value: 1.25687, tolerance: 2e-5 },
  lossAfter12: { value: 3.8006, tolerance: 3e-4 },
} as const;

/** What one engine got of {@link GOLDEN}. */
export type TrainingResult = { readonly [K in keyof typeof GOLDEN]: number };

/** A named array of weights. */
export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** Names of a layer's weights, prefixed with `h<layer>.`. */
export const LAYER_WEIGHTS = [
  "ln1g",
  "ln1b",
  "qkvw",
  "qkvb",
  "pw",
  "pb",
  "ln2g",
  "ln2b",
  "f1w",
  "f1b",
  "f2w",
  "f2b",
] as const;

/** The initial weights. The head is tied to the token embedding `wte`. */
export function decoderWeights(): Record<string, Weight> {
  const { vocab, tokens, width, layers, hidden } = DECODER;
  const next = generator(1234);
  const weights: Record<string, Weight> = {};
  const normal = (name: string, shape: readonly number[]): void => {
    const count = shape.reduce((a, b) => a * b, 1);
    weights[name] = { shape, data: gaussian(count, 0.02, next) };
  };
  const constant = (name: string, count: number, value: number): void => {
    weights[name] = { shape: [count], data: new Float32Array(count).fill(value) };
  };
  normal("wte", [vocab, width]);
  normal("wpe", [tokens, width]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `h${layer}.`;
    constant(`${at}ln1g`, width, 1);
    constant(`${at}ln1b`, width, 0);
    normal(`${at}qkvw`, [width, 3 * width]);
    constant(`${at}qkvb`, 3 * width, 0);
    normal(`${at}pw`, [width, width]);
    constant(`${at}pb`, width, 0);
    constant(`${at}ln2g`, width, 1);
    constant(`${at}ln2b`, width, 0);
    normal(`${at}f1w`, [width, hidden]);
    constant(`${at}f1b`, hidden, 0);
    normal(`${at}f2w`, [hidden, width]);
    constant(`${at}f2b`, width, 0);
  }
  constant("lnfg", width, 1);
  constant("lnfb", width, 0);
  return weights;
}

/** Token ids and the ids that follow them, [batch · tokens] each: a noisy congruential sequence. */
export function decoderBatch(): { ids: Int32Array; labels: Int32Array } {
  const { vocab, tokens, batch } = DECODER;
  const next = generator(99);
  const ids = new Int32Array(batch * tokens);
  const labels = new Int32Array(batch * tokens);
  for (let b = 0; b < batch; b++) {
    let id = Math.floor(next() * vocab);
    for (let t = 0; t < tokens; t++) {
      ids[b * tokens + t] = id;
      id = next() < 0.8 ? (id * 5 + 17) % vocab : Math.floor(next() * vocab);
      labels[b * tokens + t] = id;
    }
  }
  return { ids, labels };
}

/** Floating-point operations of a training step, counting matrix products only (attention as if it were dense). */
export function decoderFlops(): number {
  const { vocab, tokens, batch, width, layers, hidden } = DECODER;
  const perToken = layers * (4 * width * width + 2 * width * hidden) + width * vocab;
  const attention = layers * 4 * batch * tokens * tokens * width;
  return 3 * (2 * perToken * batch * tokens + attention);
}

/** Throws unless an engine got the golden numbers. */
export function checkTraining(engine: string, got: TrainingResult): void {
  for (const key of Object.keys(GOLDEN) as (keyof typeof GOLDEN)[]) {
    const { value, tolerance } = GOLDEN[key];
    if (Math.abs(got[key] - value) <= tolerance) continue;
    throw new Error(`${engine} does not train the same decoder: ${key} ${got[key]}, not ${value}`);
  }
}
