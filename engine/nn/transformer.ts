/** The decoder-only transformer. */
import { ForgeError } from "../error.ts";
import type { CacheRows } from "../ops/cache-attention.ts";
import { checkpoint } from "../ops/checkpoint.ts";
import { add, mul, tanh } from "../ops/elementwise.ts";
import { type LmHeadOptions, type LmHeadResult, lmHead } from "../ops/lm-head.ts";
import { matmul } from "../ops/matmul.ts";
import type { RopeOptions } from "../ops/rope.ts";
import { transpose } from "../ops/view.ts";
import type { WeightDType } from "../tensor/dtype.ts";
import { parameter, type State } from "../tensor/state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { depthOf, SelfAttention, type SelfAttentionOptions, type Sight } from "./attention.ts";
import type { Forest } from "./forest.ts";
import { type Init, normalInit, residualInit } from "./init.ts";
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
  /** `gelu`: two matrices; `swiglu`, `geglu`: three. GELU is its tanh form. Default `swiglu`. */
  readonly mlp?: "gelu" | "swiglu" | "geglu";
  /** Default `rms`. */
  readonly norm?: "rms" | "layer";
  /** Added inside the root of the norms. Default 1e-5. */
  readonly normEps?: number;
  /** Added to the weights of RMS norms. Default 0. */
  readonly normOffset?: number;
  /** Whether what attention and MLP give is normalized before it is added (Gemma). Default false. */
  readonly hasPostNorms?: boolean;
  /** Whether each head of queries and keys is normalized. Default false. */
  readonly hasHeadNorms?: boolean;
  /** How a token knows its depth: rotated queries and keys, or a learned vector for each depth. Default `rope`. */
  readonly position?: "rope" | "learned";
  /** Depths that a learned table has; with `rope`, those that the model was made for. */
  readonly maxDepth?: number;
  readonly rope?: RopeOptions;
  /** Whether projections have a bias. Default false. */
  readonly hasBias?: boolean;
  /** The same for the projection to queries, keys and values; that back; those of the MLP. Default: `hasBias`. */
  readonly hasQkvBias?: boolean;
  readonly hasOutputBias?: boolean;
  readonly hasMlpBias?: boolean;
  /** Whether the head is the embedding's table. Default true. */
  readonly isTied?: boolean;
  /** A query sees keys less than this many tokens above it. Default: all. */
  readonly window?: number;
  /** What single layers have instead, by their index. */
  readonly layerAttention?: readonly LayerAttention[];
  /** Attention scores become c · tanh(score / c). Default: off. */
  readonly attentionSoftcap?: number;
  /** Attention scores are multiplied by it. Default 1/√headDim. */
  readonly attentionScale?: number;
  /** Embeddings are multiplied by it. Default 1. */
  readonly embeddingScale?: number;
  /** Logits become c · tanh(logit / c). Default: off. */
  readonly logitSoftcap?: number;
  /** Standard deviation of the initial weights. Default 0.02; residual projections start at std / √(2 · layers). */
  readonly initStd?: number;
  /** How all matrices and tables start instead. */
  readonly init?: Init;
  /** What matrices and tables are held in; optimizers train f32 only. Default `f32`. */
  readonly weightDtype?: WeightDType;
  /** Compute each layer again in the backward instead of keeping its intermediates. Default false. */
  readonly isCheckpointed?: boolean;
}

/** What the attention of one layer has instead of the model's; a window of 0 is none. */
export interface LayerAttention {
  readonly window?: number;
  readonly rope?: RopeOptions;
}

/**
 * One pre-norm layer: x + attention(norm(x)), then + mlp(norm(·)); with post norms, what is added is normalized too.
 * Source: Xiong et al. 2020, arXiv:2002.04745.
 */
export class TransformerLayer {
  readonly attentionNorm: LayerNorm | RmsNorm;
  readonly attention: SelfAttention;
  readonly attentionPostNorm: LayerNorm | RmsNorm | undefined;
  readonly mlpNorm: LayerNorm | RmsNorm;
  readonly mlp: Mlp | GatedMlp;
  readonly mlpPostNorm: LayerNorm | RmsNorm | undefined;

  constructor(random: Random, options: TransformerOptions, index: number) {
    const { width, hasPostNorms = false, hasBias = false } = options;
    const inits = weightsOf(options);
    const post = (): LayerNorm | RmsNorm | undefined =>
      hasPostNorms ? makeNorm(options) : undefined;
    this.attentionNorm = makeNorm(options);
    this.attention = new SelfAttention(random, { ...attentionOptions(options, index), ...inits });
    this.attentionPostNorm = post();
    this.mlpNorm = makeNorm(options);
    const { mlp = "swiglu", mlpWidth = 4 * width, hasMlpBias = hasBias } = options;
    const shape: MlpOptions = { width, hidden: mlpWidth, hasBias: hasMlpBias, ...inits };
    const activation = mlp === "swiglu" ? "silu" : "gelu";
    this.mlp =
      mlp === "gelu" ? new Mlp(random, shape) : new GatedMlp(random, { ...shape, activation });
    this.mlpPostNorm = post();
  }

  /** x [T, width] → [T, width]. */
  forward(x: Tensor, sight: Sight): Tensor {
    const attended = this.attention.forward(this.attentionNorm.forward(x), sight);
    const seen = add(x, this.attentionPostNorm?.forward(attended) ?? attended);
    const thought = this.mlp.forward(this.mlpNorm.forward(seen));
    return add(seen, this.mlpPostNorm?.forward(thought) ?? thought);
  }
}

function weightsOf({ layers, initStd = 0.02, init, weightDtype = "f32" }: TransformerOptions): {
  init: Init;
  outputInit: Init;
  dtype: WeightDType;
} {
  return {
    init: init ?? normalInit(initStd),
    outputInit: init ?? residualInit(layers, initStd),
    dtype: weightDtype,
  };
}

function makeNorm(options: TransformerOptions): LayerNorm | RmsNorm {
  const { norm = "rms", width, normEps: eps = 1e-5, normOffset: offset = 0 } = options;
  return norm === "rms" ? new RmsNorm({ width, eps, offset }) : new LayerNorm({ width, eps });
}

function attentionOptions(options: TransformerOptions, index: number): SelfAttentionOptions {
  const { width, heads, kvHeads = heads, headDim = width / heads, hasBias = false } = options;
  const { hasQkvBias = hasBias, hasOutputBias = hasBias, position = "rope" } = options;
  const { normEps: eps = 1e-5, normOffset: offset = 0 } = options;
  const { window = options.window ?? 0, rope = options.rope ?? {} } =
    options.layerAttention?.[index] ?? {};
  return {
    ...{ width, heads, kvHeads, headDim, hasBias: hasQkvBias, hasOutputBias },
    ...(options.hasHeadNorms ? { headNorm: { eps, offset } } : {}),
    ...(position === "rope" ? { rope } : {}),
    ...(window ? { window } : {}),
    ...(options.attentionSoftcap ? { softcap: options.attentionSoftcap } : {}),
    ...(options.attentionScale ? { scale: options.attentionScale } : {}),
  };
}

/** Rows of tokens in the caches of all layers. */
export interface CachedTokens extends CacheRows {
  /** Keys and values of each layer, see `cacheAttention`. */
  readonly caches: readonly State[];
}

/**
 * A decoder over a forest of tokens: embedding, layers, norm, head.
 *
 * With `norm: "layer", mlp: "gelu", position: "learned", hasBias: true` it is GPT-2 (with the tanh form of GELU); the
 * defaults are Llama's choices. `engine/models/families.ts` has those of the other families.
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
    const { init, dtype } = weightsOf(options);
    this.embedding = new Embedding(random, { count: vocab, width, init, dtype });
    this.positions =
      position === "learned"
        ? new Embedding(random, { count: maxDepth, width, init, dtype })
        : undefined;
    this.layers = Array.from(
      { length: layers },
      (_, index) => new TransformerLayer(random, options, index),
    );
    this.norm = makeNorm(options);
    this.head = isTied
      ? this.embedding.weight
      : parameter([vocab, width], init([vocab, width], random), "", dtype);
    namedParameters(this);
  }

  /**
   * What the head sees of each token.
   *
   * Shapes    tokens [T] u32 or i32 → [T, width].
   * Errors    `index_out_of_range` at the next read, for a token beyond the vocabulary or a depth beyond the table.
   */
  hidden(tokens: Tensor, sight: Forest | CachedTokens): Tensor {
    const { embeddingScale = 1, isCheckpointed } = this.options;
    let x = this.embedding.forward(tokens);
    if (embeddingScale !== 1) x = mul(x, embeddingScale);
    if (this.positions) x = add(x, this.positions.forward(depthOf(sight)));
    this.layers.forEach((layer, i) => {
      const inLayer = "end" in sight ? sight : { ...sight, cache: sight.caches[i] as State };
      const run = (h: Tensor): Tensor => layer.forward(h, inLayer);
      x = (isCheckpointed ? checkpoint(run) : run)(x);
    });
    return this.norm.forward(x);
  }

  /**
   * Log-prob, log-sum-exp and entropy of each token's label: usually the token after it.
   *
   * Shapes    tokens, labels [T] u32 or i32 (a label ≥ vocab, such as −1, is none) → [T].
   */
  score(tokens: Tensor, labels: Tensor, forest: Forest, options: LmHeadOptions = {}): LmHeadResult {
    const { logitSoftcap } = this.options;
    const all = { ...(logitSoftcap ? { softcap: logitSoftcap } : {}), ...options };
    return lmHead(this.hidden(tokens, forest), this.head, labels, all);
  }

  /** Logits [N, vocab] of rows of {@link hidden} [N, width]: for the few rows that are sampled from. */
  logits(hidden: Tensor): Tensor {
    const logits = matmul(hidden, transpose(this.head));
    const { logitSoftcap: cap } = this.options;
    return cap ? mul(tanh(mul(logits, 1 / cap)), cap) : logits;
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
