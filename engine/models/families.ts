/**
 * The families of language models that this engine runs: how each differs from Llama, what its config.json says, and what
 * its tensors are called. A new one is an entry here and a name map in names.ts.
 *
 * Source    `configuration_*.py` and `modeling_*.py` of Hugging Face transformers 5.23, for defaults too.
 */
import type { TransformerOptions } from "../nn/transformer.ts";
import { shapeRefusal } from "../ops/attention-variants.ts";
import { ConfigReader, configInvalid, type HfConfig, modelUnsupported } from "./config.ts";
import { readGemma2, readGemma3, writeGemma2, writeGemma3 } from "./gemma-config.ts";
import { readGpt2, writeGpt2 } from "./gpt2-config.ts";
import {
  readLlama,
  readMistral,
  readQwen2,
  readQwen3,
  writeLlama,
  writeMistral,
  writeQwen2,
  writeQwen3,
} from "./llama-config.ts";
import { GEMMA_NAMES, GPT2_NAMES, LLAMA_NAMES, type NameMap } from "./names.ts";

/** Names of families: `model_type` of their config.json. */
export type FamilyName =
  | "llama"
  | "mistral"
  | "qwen2"
  | "qwen3"
  | "gemma2"
  | "gemma3_text"
  | "gpt2";

/** One family. */
export interface Family {
  /** Class of the original library, as in `architectures`. */
  readonly architecture: string;
  /** What every model of the family has that Llama has not. */
  readonly traits: Partial<TransformerOptions>;
  readonly names: NameMap;
  /** The options that a config.json asks for, beyond the traits. */
  readonly read: (config: ConfigReader) => TransformerOptions;
  /** Fields of a config.json for the options. */
  readonly write: (options: TransformerOptions) => HfConfig;
}

const GEMMA_TRAITS = { mlp: "geglu", normOffset: 1, hasPostNorms: true } as const;

/** The table. */
export const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  // SmolLM2 says `llama` too.
  llama: {
    architecture: "LlamaForCausalLM",
    traits: {},
    names: LLAMA_NAMES,
    read: readLlama,
    write: writeLlama,
  },
  mistral: {
    architecture: "MistralForCausalLM",
    traits: {},
    names: LLAMA_NAMES,
    read: readMistral,
    write: writeMistral,
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    traits: { hasQkvBias: true, hasOutputBias: false },
    names: LLAMA_NAMES,
    read: readQwen2,
    write: writeQwen2,
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    traits: { hasHeadNorms: true },
    names: LLAMA_NAMES,
    read: readQwen3,
    write: writeQwen3,
  },
  gemma2: {
    architecture: "Gemma2ForCausalLM",
    traits: GEMMA_TRAITS,
    names: GEMMA_NAMES,
    read: readGemma2,
    write: writeGemma2,
  },
  gemma3_text: {
    architecture: "Gemma3ForCausalLM",
    traits: { ...GEMMA_TRAITS, hasHeadNorms: true },
    names: GEMMA_NAMES,
    read: readGemma3,
    write: writeGemma3,
  },
  gpt2: {
    architecture: "GPT2LMHeadModel",
    traits: { norm: "layer", mlp: "gelu", position: "learned", hasBias: true },
    names: GPT2_NAMES,
    read: readGpt2,
    write: writeGpt2,
  },
};

/** No decoder has a tenth of this: a file that asks for more would only have the host make layers for minutes. */
const MAX_LAYERS = 1024;

/**
 * Family and options that a config.json asks for.
 *
 * Errors    `config_invalid`, naming the field; `model_unsupported` for a family that is not in the table, and for what is
 *           in the original library but not built.
 */
export function modelOptions(config: HfConfig): {
  family: FamilyName;
  options: TransformerOptions;
} {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw configInvalid("", config, "it must be an object");
  const family = config["model_type"] as FamilyName;
  const { traits, read } = familyOf(family);
  const reader = new ConfigReader(config);
  reader.allow("quantization_config");
  const options = { ...traits, ...read(reader) };
  checkSizes(options);
  return { family, options };
}

/** A family by its name. Errors: `model_unsupported`. */
export function familyOf(name: FamilyName): Family {
  if (typeof name === "string" && Object.hasOwn(FAMILIES, name)) return FAMILIES[name];
  throw modelUnsupported(
    "there is no such family of models here.",
    `model_type ${JSON.stringify(name)}`,
    `use a checkpoint of ${Object.keys(FAMILIES).join(", ")}; or add a family to engine/models/families.ts`,
  );
}

function checkSizes(options: TransformerOptions): void {
  const { layers, width, heads, kvHeads = heads, headDim = width / heads } = options;
  if (layers > MAX_LAYERS)
    throw configInvalid("num_hidden_layers", layers, `it must be at most ${MAX_LAYERS}`);
  if (heads % kvHeads !== 0)
    throw configInvalid("num_key_value_heads", kvHeads, `it must divide ${heads} heads of queries`);
  const refusal = shapeRefusal({
    ...{ heads, kvHeads, headDim, tokens: 1 },
    ...{ hasWindow: false, hasSoftcap: false },
  });
  if (refusal === undefined) return;
  throw modelUnsupported(
    "no attention kernel runs these heads.",
    `${heads} heads of ${headDim}`,
    "use a model with heads of 8 to 256 in steps of 4",
    refusal,
  );
}

/** The config.json of a model: `modelOptions` of it gives the options again. */
export function modelConfig(family: FamilyName, options: TransformerOptions): HfConfig {
  const { architecture, write } = familyOf(family);
  return {
    architectures: [architecture],
    model_type: family,
    ...write(options),
    // the classes have ids of their own for silence
    ...{ bos_token_id: null, eos_token_id: null, pad_token_id: null },
    dtype: { f32: "float32", f16: "float16", bf16: "bfloat16" }[options.weightDtype ?? "f32"],
  };
}
