/**
 * A small policy in f64 whose log-probs depend on all tokens above: what forests are held against without a GPU.
 *
 * h = tanh(a · h of the parent + embedding[token]), logits = head · h; backward by hand.
 */
import { randoms } from "../support/gpu.ts";

/** Tokens with parents (−1 at roots, parents first), and which log-probs are read where. */
export interface Scored {
  readonly tokens: ArrayLike<number>;
  readonly parent: ArrayLike<number>;
  readonly rows: ArrayLike<number>;
  readonly targets: ArrayLike<number>;
}

const WIDTH = 5;
const DECAY = 0.7;

/** A policy over `vocab` tokens. */
export class RecurrentPolicy {
  readonly vocab: number;
  readonly embedding: Float64Array;
  readonly head: Float64Array;

  constructor(seed: number, vocab: number) {
    this.vocab = vocab;
    const random = randoms(seed);
    this.embedding = Float64Array.from(random.floats(vocab * WIDTH));
    this.head = Float64Array.from(random.floats(vocab * WIDTH, -2, 2));
  }

  /** Log-probs of the targets. */
  logprobs(batch: Scored): Float64Array {
    const hidden = this.#hidden(batch);
    return Float64Array.from(batch.rows, (row, e) =>
      Math.log(this.#probabilities(hidden, row)[batch.targets[e] as number] as number),
    );
  }

  /** Gradient of Σ coefficient · log-prob: the embedding's, then the head's. */
  gradient(batch: Scored, coefficients: ArrayLike<number>): Float64Array {
    const { tokens, parent, rows, targets } = batch;
    const hidden = this.#hidden(batch);
    const dhidden = new Float64Array(hidden.length);
    const dembedding = new Float64Array(this.embedding.length);
    const dhead = new Float64Array(this.head.length);
    for (let e = 0; e < rows.length; e++) {
      const row = rows[e] as number;
      const c = coefficients[e] as number;
      this.#probabilities(hidden, row).forEach((p, v) => {
        const dlogit = c * ((v === targets[e] ? 1 : 0) - p);
        for (let i = 0; i < WIDTH; i++) {
          add(dhead, v * WIDTH + i, dlogit * at(hidden, row * WIDTH + i));
          add(dhidden, row * WIDTH + i, dlogit * at(this.head, v * WIDTH + i));
        }
      });
    }
    for (let t = tokens.length - 1; t >= 0; t--) {
      for (let i = 0; i < WIDTH; i++) {
        const dsum = at(dhidden, t * WIDTH + i) * (1 - at(hidden, t * WIDTH + i) ** 2);
        add(dembedding, at(tokens, t) * WIDTH + i, dsum);
        if (at(parent, t) >= 0) add(dhidden, at(parent, t) * WIDTH + i, DECAY * dsum);
      }
    }
    return Float64Array.of(...dembedding, ...dhead);
  }

  #hidden({ tokens, parent }: Scored): Float64Array {
    const hidden = new Float64Array(tokens.length * WIDTH);
    for (let t = 0; t < tokens.length; t++) {
      for (let i = 0; i < WIDTH; i++) {
        const above = at(parent, t) < 0 ? 0 : at(hidden, at(parent, t) * WIDTH + i);
        hidden[t * WIDTH + i] = Math.tanh(
          DECAY * above + at(this.embedding, at(tokens, t) * WIDTH + i),
        );
      }
    }
    return hidden;
  }

  #probabilities(hidden: Float64Array, row: number): Float64Array {
    const weights = new Float64Array(this.vocab).map((_, v) => {
      let logit = 0;
      for (let i = 0; i < WIDTH; i++)
        logit += at(this.head, v * WIDTH + i) * at(hidden, row * WIDTH + i);
      return Math.exp(logit);
    });
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((w) => w / sum);
  }
}

function at(values: ArrayLike<number>, i: number): number {
  return values[i] as number;
}

function add(values: Float64Array, i: number, by: number): void {
  values[i] = at(values, i) + by;
}
