/** A model with all that belongs to it, out of the files of a Hugging Face directory, wherever those are. */
import type { ByteSource } from "./byte-source.ts";
import { blobSource, bytesSource } from "./byte-source.ts";
import type { CausalLM } from "./causal-lm.ts";
import { ChatTemplate } from "./chat-template.ts";
import type { HfConfig } from "./config.ts";
import { modelOptions } from "./families.ts";
import { fileInvalid } from "./file-invalid.ts";
import { type GenerationDefaults, generationDefaults } from "./generation-config.ts";
import { type CheckpointFiles, openCheckpoint } from "./shards.ts";
import { checkVocabulary, Tokenizer } from "./tokenizer.ts";
import { type LoadOptions, loadModel } from "./weights.ts";

/** A model and what its directory says about its use. */
export interface LoadedModel {
  readonly model: CausalLM;
  /** None where there is no tokenizer.json: such a model is used by ids. */
  readonly tokenizer: Tokenizer | undefined;
  readonly template: ChatTemplate | undefined;
  readonly generation: GenerationDefaults;
}

/** JSON and templates beyond this are refused before they are read: the largest tokenizers have 40 MB. */
const MAX_TEXT_BYTES = 2 ** 28;

/**
 * Loads a model from the files of its directory: config.json and weights; if they are there tokenizer.json,
 * tokenizer_config.json, a chat template (chat_template.jinja, in tokenizer_config.json, or chat_template.json), and
 * generation_config.json. The small files are checked before any weight is read.
 *
 * Errors    `file_invalid`, `config_invalid`, `tokenizer_invalid`, `tokenizer_mismatch`, `template_invalid`; those of
 *           {@link openCheckpoint} and {@link loadModel}. Nothing is left on the GPU.
 */
export async function loadModelFiles(
  files: CheckpointFiles,
  options: LoadOptions,
): Promise<LoadedModel> {
  const config = await requiredConfig(files);
  const { vocab } = modelOptions(config).options;
  const settings = (await jsonOf(files, "tokenizer_config.json")) ?? {};
  const tokenizer = await tokenizerOf(files, settings);
  if (tokenizer) checkVocabulary(tokenizer, vocab);
  const template = await templateOf(files, settings);
  const generation = generationDefaults(await jsonOf(files, "generation_config.json"), config);
  const model = await loadModel(config, await openCheckpoint(files), options);
  return { model, tokenizer, template, generation: withEnd(generation, tokenizer) };
}

/** Files that were chosen in a browser or fetched, by their plain names. */
export function memoryFiles(files: ReadonlyMap<string, Blob | Uint8Array>): CheckpointFiles {
  return {
    open: async (name): Promise<ByteSource | undefined> => {
      const file = files.get(name);
      if (file === undefined) return undefined;
      return file instanceof Uint8Array ? bytesSource(name, file) : blobSource(name, file);
    },
  };
}

async function requiredConfig(files: CheckpointFiles): Promise<HfConfig> {
  const config = await jsonOf(files, "config.json");
  if (config) return config;
  throw fileInvalid("config.json", {
    what: "it is missing.",
    why: "a model directory says there what its weights are",
    fix: "pass a directory in the Hugging Face layout: config.json, model.safetensors, tokenizer.json",
  });
}

async function tokenizerOf(
  files: CheckpointFiles,
  config: HfConfig,
): Promise<Tokenizer | undefined> {
  const source = await files.open("tokenizer.json");
  if (!source) return undefined;
  return Tokenizer.from({ tokenizer: await textOf(source), config, name: source.name });
}

async function templateOf(
  files: CheckpointFiles,
  config: HfConfig,
): Promise<ChatTemplate | undefined> {
  const jinja = await files.open("chat_template.jinja");
  if (jinja) return ChatTemplate.from({ template: await textOf(jinja), config });
  if (config["chat_template"]) return ChatTemplate.from({ config });
  const { chat_template: template } = (await jsonOf(files, "chat_template.json")) ?? {};
  return typeof template === "string" ? ChatTemplate.from({ template, config }) : undefined;
}

/** The tokenizer knows how a text ends where no configuration says so. */
function withEnd(generation: GenerationDefaults, tokenizer?: Tokenizer): GenerationDefaults {
  const { eosIds, bosId = tokenizer?.bosId, padId = tokenizer?.padId } = generation;
  const end = tokenizer?.eosId;
  return {
    ...generation,
    ...{ bosId, padId },
    eosIds: eosIds.length > 0 || end === undefined ? eosIds : [end],
  };
}

/** A JSON object of the folder; undefined where there is no such file. Errors: `file_invalid`. */
export async function jsonOf(files: CheckpointFiles, name: string): Promise<HfConfig | undefined> {
  const source = await files.open(name);
  if (!source) return undefined;
  const text = await textOf(source);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as HfConfig;
    }
  } catch (cause) {
    throw fileInvalid(source.name, { what: "it is no JSON.", got: String(cause), cause });
  }
  throw fileInvalid(source.name, { what: "it is no JSON object.", got: text.slice(0, 80) });
}

async function textOf(source: ByteSource): Promise<string> {
  const { name, size } = source;
  if (size > MAX_TEXT_BYTES) {
    const why = `a file of this kind may have ${MAX_TEXT_BYTES}`;
    throw fileInvalid(name, { what: "it is too long.", got: `${size} bytes`, why });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, size));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw fileInvalid(name, { what: "it is not UTF-8.", cause });
  }
}
