/** config.json of GPT-2. */
import type { TransformerOptions } from "../nn/transformer.ts";
import type { ConfigReader, HfConfig } from "./config.ts";

export function readGpt2(c: ConfigReader): TransformerOptions {
  c.allow("activation_function", "gelu_new", "gelu_pytorch_tanh");
  c.allow("scale_attn_by_inverse_layer_idx", false);
  c.allow("scale_attn_weights", true);
  c.allow("add_cross_attention", false);
  const [width, heads] = [c.size("n_embd", 768), c.size("n_head", 12)];
  if (width % heads !== 0) throw c.invalid("n_embd", `${heads} heads of one size must fill it`);
  return {
    vocab: c.size("vocab_size", 50_257),
    layers: c.size("n_layer", 12),
    width,
    heads,
    mlpWidth: c.size("n_inner", 4 * width),
    maxDepth: c.size("n_positions", 1024),
    normEps: c.positive("layer_norm_epsilon", 1e-5),
    initStd: c.deviation("initializer_range", 0.02),
    isTied: c.flag("tie_word_embeddings", true),
  };
}

export function writeGpt2(o: TransformerOptions): HfConfig {
  return {
    vocab_size: o.vocab,
    n_layer: o.layers,
    n_embd: o.width,
    n_head: o.heads,
    n_inner: o.mlpWidth ?? 4 * o.width,
    n_positions: o.maxDepth ?? 1024,
    layer_norm_epsilon: o.normEps ?? 1e-5,
    initializer_range: o.initStd ?? 0.02,
    activation_function: "gelu_new",
    tie_word_embeddings: o.isTied ?? true,
  };
}
