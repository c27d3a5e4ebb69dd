/** The policy of a run, as its configuration describes it: a model, adapters, and how it reads text. */
import {
  applyLora,
  type CausalLM,
  ChatTemplate,
  checkVocabulary,
  createModel,
  type Device,
  ForgeError,
  type Tokenizer,
} from "../../../engine/index.ts";
import { resolveModelDirectory } from "../../hub/resolve.ts";
import { openModelDirectory } from "../../models/directory.ts";
import type { SmallFiles } from "../../models/save-files.ts";
import type { CreateConfig, LoraSection, ModelSection } from "../config/types.ts";
import { newTokenizer } from "./new-tokenizer.ts";

/** A policy. Disposing it frees its weights and closes its files. */
export interface OpenedPolicy extends AsyncDisposable {
  /** What is trained: a `LoraModel`, whose `base` is the model without adapters, where adapters are asked for. */
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
  /** The directory that the model, or its base, was read from. */
  readonly from?: { readonly path: string; readonly model: CausalLM };
  /** What a model that is new is saved with: its tokenizer's files. */
  readonly files: SmallFiles;
}

/** Options of {@link openPolicy}. */
export interface OpenPolicyOptions {
  readonly device: Device;
  /** Where relative paths are meant from. Default: the working directory. */
  readonly from?: string;
  /** Of the initial adapters, and of weights that have no seed of their own. Default 0. */
  readonly seed?: number;
  /** Whether layers are computed again in the backward. Default false. */
  readonly isCheckpointed?: boolean;
  /** Called as weights are read. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Makes or reads what the section `model` of a configuration describes.
 *
 * Errors    `config_invalid` for neither; `model_not_found`; `tokenizer_mismatch`; those of reading, of `createModel` and of `applyLora`.
 */
export async function openPolicy(
  section: ModelSection,
  options: OpenPolicyOptions,
): Promise<OpenedPolicy> {
  const start = section.create
    ? createdPolicy(section.create, section, options)
    : await readPolicy(section, options);
  if (!section.lora) return start;
  try {
    return withAdapters(start, section.lora, options.seed);
  } catch (error) {
    await start[Symbol.asyncDispose]();
    throw error;
  }
}

function createdPolicy(
  { maxLength, vocab, seed, tokenizer: asked, ...sizes }: CreateConfig,
  { weightDtype }: ModelSection,
  { from = ".", seed: runSeed = 0, isCheckpointed = false }: OpenPolicyOptions,
): OpenedPolicy {
  const { tokenizer, files } = newTokenizer(asked, from);
  const tokens = vocab ?? tokenizer.vocabSize;
  checkVocabulary(tokenizer, tokens);
  const model = createModel({
    ...{ ...sizes, vocab: tokens, maxDepth: maxLength, seed: seed ?? runSeed },
    ...{ weightDtype, isCheckpointed },
  });
  const template = templateOf(files);
  const stopIds = tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
  const dispose = async (): Promise<void> => model[Symbol.dispose]();
  return { model, tokenizer, template, files, stopIds, [Symbol.asyncDispose]: dispose };
}

/** Of a tokenizer that was read from a directory. */
function templateOf(files: SmallFiles): ChatTemplate | undefined {
  const { "chat_template.jinja": template, "tokenizer_config.json": config } = files;
  return ChatTemplate.from({
    ...(typeof template === "string" && { template }),
    ...(config !== undefined && { config }),
  });
}

async function readPolicy(
  { directory, weightDtype }: ModelSection,
  { device, from, onProgress, isCheckpointed = false }: OpenPolicyOptions,
): Promise<OpenedPolicy> {
  if (directory === null) {
    throw new ForgeError({
      code: "config_invalid",
      what: "the configuration names no model.",
      got: "neither model.directory nor model.create",
      fix: "give one of them",
    });
  }
  const opened = await openModelDirectory(resolveModelDirectory(directory, from), {
    ...{ device, dtype: weightDtype, isCheckpointed },
    ...(onProgress && { onProgress }),
  });
  const { model, path, tokenizer, template, generation } = opened;
  if (!tokenizer) {
    await opened.close();
    throw new ForgeError({
      code: "model_not_found",
      what: "the model has no tokenizer.",
      got: path,
      why: "agents speak text",
      fix: "put the tokenizer.json of the model into its directory",
    });
  }
  return {
    ...{ model, tokenizer, template, files: {}, from: { path, model } },
    stopIds: generation.eosIds,
    [Symbol.asyncDispose]: () => opened.close(),
  };
}

function withAdapters(
  start: OpenedPolicy,
  { rank, alpha, targets }: LoraSection,
  seed = 0,
): OpenedPolicy {
  const model = applyLora(start.model, { rank, alpha, seed, ...(targets && { targets }) });
  return {
    ...start,
    model,
    [Symbol.asyncDispose]: async () => {
      model[Symbol.dispose]();
      await start[Symbol.asyncDispose]();
    },
  };
}
