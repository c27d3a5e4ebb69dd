/** Names of tensors in Hugging Face checkpoints. */

/**
 * Which modules of a checkpoint a module of ours is made of; `#` is the index of a layer. Several stand side by side in
 * ours, in this order. Paths are those of `namedParameters`, less `.weight` and `.bias`.
 */
export interface NameMap {
  readonly modules: Readonly<Record<string, readonly string[]>>;
  /** What some checkpoints leave out of the front of all names but the head's. */
  readonly prefix: string;
  /** Whether matrices are stored as [outputs, inputs], as PyTorch's `Linear` does: ours are [inputs, outputs]. */
  readonly isTransposed: boolean;
}

const ATTENTION = {
  "layers.#.attention.qkv": [
    "layers.#.self_attn.q_proj",
    "layers.#.self_attn.k_proj",
    "layers.#.self_attn.v_proj",
  ],
  "layers.#.attention.queryNorm": ["layers.#.self_attn.q_norm"],
  "layers.#.attention.keyNorm": ["layers.#.self_attn.k_norm"],
  "layers.#.attention.output": ["layers.#.self_attn.o_proj"],
} as const;

const GATED_MLP = {
  "layers.#.mlp.gateUp": ["layers.#.mlp.gate_proj", "layers.#.mlp.up_proj"],
  "layers.#.mlp.down": ["layers.#.mlp.down_proj"],
} as const;

/** Llama, Mistral, Qwen. */
export const LLAMA_NAMES: NameMap = {
  prefix: "model.",
  isTransposed: true,
  modules: {
    embedding: ["embed_tokens"],
    "layers.#.attentionNorm": ["layers.#.input_layernorm"],
    ...ATTENTION,
    "layers.#.mlpNorm": ["layers.#.post_attention_layernorm"],
    ...GATED_MLP,
    norm: ["norm"],
    head: ["lm_head"],
  },
};

/** Gemma 2 and 3: what Llama calls the norm after attention stands before the addition here. */
export const GEMMA_NAMES: NameMap = {
  ...LLAMA_NAMES,
  modules: {
    ...LLAMA_NAMES.modules,
    "layers.#.attentionPostNorm": ["layers.#.post_attention_layernorm"],
    "layers.#.mlpNorm": ["layers.#.pre_feedforward_layernorm"],
    "layers.#.mlpPostNorm": ["layers.#.post_feedforward_layernorm"],
  },
};

export const GPT2_NAMES: NameMap = {
  prefix: "transformer.",
  isTransposed: false,
  modules: {
    embedding: ["wte"],
    positions: ["wpe"],
    "layers.#.attentionNorm": ["h.#.ln_1"],
    "layers.#.attention.qkv": ["h.#.attn.c_attn"],
    "layers.#.attention.output": ["h.#.attn.c_proj"],
    "layers.#.mlpNorm": ["h.#.ln_2"],
    "layers.#.mlp.up": ["h.#.mlp.c_fc"],
    "layers.#.mlp.down": ["h.#.mlp.c_proj"],
    norm: ["ln_f"],
    head: ["lm_head"],
  },
};
