/** Policies that are new, with no file read: in browsers too. */
import {
  applyLora,
  type CausalLM,
  ChatTemplate,
  checkVocabulary,
  createModel,
  ForgeError,
  type Tokenizer,
} from "../../../engine/index.ts";
import type { SmallFiles } from "../../models/save-files.ts";
import type { LoraSection, ModelSection } from "../config/types.ts";
import { type NewTokenizer, newTokenizer } from "./new-tokenizer.ts";

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

/** Options of {@link createPolicy}. */
export interface CreatePolicyOptions {
  /** Of the initial adapters, and of weights that have no seed of their own. Default 0. */
  readonly seed?: number;
  /** Whether layers are computed again in the backward. Default false. */
  readonly isCheckpointed?: boolean;
  /** In place of the one that the section describes. */
  readonly tokenizer?: NewTokenizer;
}

/**
 * Makes the new model that the section `model` of a configuration describes.
 *
 * Errors    `config_invalid` where it describes none, and for a tokenizer that lies in a directory, which `openPolicy` reads;
 *           `tokenizer_mismatch`; those of `createModel` and of `applyLora`.
 */
export function createPolicy(
  { create, weightDtype, lora }: ModelSection,
  { seed: runSeed = 0, isCheckpointed = false, tokenizer: given }: CreatePolicyOptions = {},
): OpenedPolicy {
  if (!create) throw notNew("the section has no model.create", "describe a model to create");
  const { maxLength, vocab, seed, tokenizer: asked, ...sizes } = create;
  const { tokenizer, files } = given ?? tokenizerOf(asked);
  const tokens = vocab ?? tokenizer.vocabSize;
  checkVocabulary(tokenizer, tokens);
  const model = createModel({
    ...{ ...sizes, vocab: tokens, maxDepth: maxLength, seed: seed ?? runSeed },
    ...{ weightDtype, isCheckpointed },
  });
  const template = templateOf(files);
  const stopIds = tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
  const dispose = async (): Promise<void> => model[Symbol.dispose]();
  const policy = { model, tokenizer, template, files, stopIds, [Symbol.asyncDispose]: dispose };
  if (!lora) return policy;
  try {
    return withAdapters(policy, lora, runSeed);
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

/** A policy with adapters on it, which alone are trained. Errors: those of `applyLora`. */
export function withAdapters(
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

function tokenizerOf(asked: NonNullable<ModelSection["create"]>["tokenizer"]): NewTokenizer {
  if (asked.kind !== "directory") return newTokenizer(asked);
  throw notNew(`a tokenizer from ${asked.directory}`, "use openPolicy, or pass the tokenizer");
}

/** Of a tokenizer that has one. */
function templateOf(files: SmallFiles): ChatTemplate | undefined {
  const { "chat_template.jinja": template, "tokenizer_config.json": config } = files;
  return ChatTemplate.from({
    ...(typeof template === "string" && { template }),
    ...(config !== undefined && { config }),
  });
}

function notNew(got: string, fix: string): ForgeError {
  return new ForgeError({
    code: "config_invalid",
    what: "createPolicy: the configuration describes no model that is made from nothing.",
    got,
    fix,
  });
}
