/** The policy of a run, as its configuration describes it: a model, adapters, and how it reads text. */
import { resolve } from "node:path";
import { type Device, ForgeError } from "../../../engine/index.ts";
import { resolveModelDirectory } from "../../hub/resolve.ts";
import { openModelDirectory } from "../../models/directory.ts";
import type { CreateConfig, ModelSection } from "../config/types.ts";
import { createPolicy, type OpenedPolicy, withAdapters } from "./create-policy.ts";
import { readTokenizer } from "./read-tokenizer.ts";

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
  if (section.create) return createdPolicy(section, section.create, options);
  const start = await readPolicy(section, options);
  if (!section.lora) return start;
  try {
    return withAdapters(start, section.lora, options.seed);
  } catch (error) {
    await start[Symbol.asyncDispose]();
    throw error;
  }
}

function createdPolicy(
  section: ModelSection,
  { tokenizer }: CreateConfig,
  { from = ".", seed = 0, isCheckpointed = false }: OpenPolicyOptions,
): OpenedPolicy {
  const isRead = tokenizer.kind === "directory";
  const read = isRead && readTokenizer(resolve(from, tokenizer.directory));
  return createPolicy(section, { seed, isCheckpointed, ...(read && { tokenizer: read }) });
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
