/** The decoder-only transformer. */
import { ForgeError } from "../error.ts";
import { checkpoint } from "../ops/checkpoint.ts";
import { add } from "../ops/elementwise.ts";
import { type LmHeadOptions, type LmHeadResult, lmHead } from "../ops/lm-head.ts";
import { matmul } from "../ops/matmul.ts";
import type { RopeOptions } from "../ops/rope.ts";
import { transpose } from "../ops/view.ts";
import { parameter, type State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { SelfAttention } from "./attention.ts";
import type { Forest } from "./forest.ts";
import { normalInit, residualInit } from "./init.ts";
import { Embedding } from "./linear.ts";
import { GatedMlp, Mlp, type MlpOptions } from "./mlp.ts";
import { namedParameters } from "./module.ts";
import { LayerNorm, RmsNorm } from "./norm.ts";
import type { Random } from "./random.ts";

/** Options of {@link Transformer}. */
export interface TransformerOptions {
  /** Number of tokens that there are. */
  readonly vocab: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  /** Heads of keys and values. Default: `heads`. */
  readonly kvHeads?: number;
  /** Default: width / heads. */
  readonly headDim?: number;
  /** Width inside the MLP. Default: 4 · width. */
  readonly mlpWidth?: number;
  /** `gelu`: two matrices; `swiglu`, `geglu`: three. Default `swiglu`. */
  readonly mlp?: "gelu" | "swiglu" | "geglu";
  /** Default `rms`. */
  readonly norm?: "rms" | "layer";
  /** Added inside the root of the norms. Default 1e-5. */
  readonly normEps?: number;
  /** How a token knows its depth: rotated queries and keys, or a learned vector for each depth. Default `rope`. */
  readonly position?: "rope" | "learned";
  /** Depths that a learned table has. */
  readonly maxDepth?: number;
  readonly rope?: RopeOptions;
  /** Whether projections have a bias. Default false. */
  readonly hasBias?: boolean;
  /** Whether the head is the embedding's table. Default true. */
  readonly isTied?: boolean;
  /** A query sees keys less than this many tokens above it. Default: all. */
  readonly window?: number;
  /** Standard deviation of the initial weights. Default 0.02; residual projections start at std / √(2 · layers). */
  readonly initStd?: number;
  /** Compute each layer again in the backward instead of keeping its intermediates. Default false. */
  readonly isCheckpointed?: boolean;
}

/** One pre-norm layer: x + attention(norm(x)), then + mlp(norm(·)). Source: Xiong et al. 2020, arXiv:2002.04745. */
export class TransformerLayer {
  readonly attentionNorm: LayerNorm | RmsNorm;
  readonly attention: SelfAttention;
  readonly mlpNorm: LayerNorm | RmsNorm;
  readonly mlp: Mlp | GatedMlp;

  constructor(random: Random, options: TransformerOptions) {
    const { width, layers, heads, kvHeads = heads, headDim = width / heads } = options;
    const { initStd = 0.02, hasBias = false, position = "rope", window } = options;
    const inits = { init: normalInit(initStd), outputInit: residualInit(layers, initStd) };
    this.attentionNorm = makeNorm(options);
    this.attention = new SelfAttention(random, {
      ...{ width, heads, kvHeads, headDim, hasBias },
      ...inits,
      ...(position === "rope" ? { rope: options.rope ?? {} } : {}),
      ...(window ? { window } : {}),
    });
    this.mlpNorm = makeNorm(options);
    const { mlp = "swiglu", mlpWidth = 4 * width } = options;
    const shape: MlpOptions = { width, hidden: mlpWidth, hasBias, ...inits };
    const activation = mlp === "swiglu" ? "silu" : "gelu";
    this.mlp =
      mlp === "gelu" ? new Mlp(random, shape) : new GatedMlp(random, { ...shape, activation });
  }

  /** x [T, width] → [T, width]. */
  forward(x: Tensor, forest: Forest): Tensor {
    const seen = add(x, this.attention.forward(this.attentionNorm.forward(x), forest));
    return add(seen, this.mlp.forward(this.mlpNorm.forward(seen)));
  }
}

function makeNorm({
  norm = "rms",
  width,
  normEps = 1e-5,
}: TransformerOptions): LayerNorm | RmsNorm {
  const options = { width, eps: normEps };
  return norm === "rms" ? new RmsNorm(options) : new LayerNorm(options);
}

/**
 * A decoder over a forest of tokens: embedding, layers, norm, head.
 *
 * With `norm: "layer", mlp: "gelu", position: "learned", hasBias: true` it is GPT-2 (with the tanh form of GELU); the
 * defaults are Llama's choices.
 */
export class Transformer {
  readonly options: TransformerOptions;
  readonly embedding: Embedding;
  /** Learned vectors of depths, where there are any. */
  readonly positions: Embedding | undefined;
  readonly layers: readonly TransformerLayer[];
  readonly norm: LayerNorm | RmsNorm;
  /** Rows of tokens [vocab, width]: the embedding's when tied. */
  readonly head: State;

  /** Errors: `argument_invalid` for sizes that do not fit together. */
  constructor(random: Random, options: TransformerOptions) {
    check(options);
    this.options = options;
    const { vocab, width, layers, position = "rope", maxDepth = 0, isTied = true } = options;
    const init = normalInit(options.initStd ?? 0.02);
    this.embedding = new Embedding(random, { count: vocab, width, init });
    this.positions =
      position === "learned" ? new Embedding(random, { count: maxDepth, width, init }) : undefined;
    this.layers = Array.from({ length: layers }, () => new TransformerLayer(random, options));
    this.norm = makeNorm(options);
    this.head = isTied
      ? this.embedding.weight
      : parameter([vocab, width], init([vocab, width], random), "");
    namedParameters(this);
  }

  /**
   * What the head sees of each token.
   *
   * Shapes    tokens [T] u32 or i32 → [T, width].
   * Errors    `index_out_of_range` at the next read, for a token beyond the vocabulary or a depth beyond the table.
   */
  hidden(tokens: Tensor, forest: Forest): Tensor {
    let x = this.embedding.forward(tokens);
    if (this.positions) x = add(x, this.positions.forward(forest.depth));
    for (const layer of this.layers) {
      const run = (h: Tensor): Tensor => layer.forward(h, forest);
      x = (this.options.isCheckpointed ? checkpoint(run) : run)(x);
    }
    return this.norm.forward(x);
  }

  /**
   * Log-prob, log-sum-exp and entropy of each token's label: usually the token after it.
   *
   * Shapes    tokens, labels [T] u32 or i32 (a label ≥ vocab, such as −1, is none) → [T].
   */
  score(tokens: Tensor, labels: Tensor, forest: Forest, options: LmHeadOptions = {}): LmHeadResult {
    return lmHead(this.hidden(tokens, forest), this.head, labels, options);
  }

  /** Logits [N, vocab] of rows of {@link hidden} [N, width]: for the few rows that are sampled from. */
  logits(hidden: Tensor): Tensor {
    return matmul(hidden, transpose(this.head));
  }
}

function check(options: TransformerOptions): void {
  const { width, heads, kvHeads = heads, headDim = width / heads, layers, vocab } = options;
  const problems = [
    [
      ![width, heads, kvHeads, headDim, layers, vocab].every((n) => Number.isInteger(n) && n > 0),
      "sizes are positive integers, and heads divide the width",
    ],
    [heads % kvHeads !== 0, "heads is a multiple of kvHeads"],
    [options.position === "learned" && !options.maxDepth, "learned positions need maxDepth"],
  ] as const;
  const why = problems.find(([isBroken]) => isBroken)?.[1];
  if (why === undefined) return;
  throw new ForgeError({
    code: "argument_invalid",
    what: "transformer: the sizes do not fit together.",
    got: JSON.stringify(options),
    why,
    fix: "correct the options",
  });
}
