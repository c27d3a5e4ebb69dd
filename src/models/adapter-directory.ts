/** Adapters as directories that PEFT reads, on disk. */
import { type LoraFilesOptions, type LoraModel, loraFiles } from "../../engine/index.ts";
import { saveFiles, targetOf } from "./save-files.ts";

/** Options of {@link saveAdapterDirectory}. */
export interface SaveAdapterOptions extends LoraFilesOptions {
  /** Take the place of an adapter directory that is there, and of all that is in it. Default false. */
  readonly overwrite?: boolean;
}

/**
 * Saves the adapters of a model as a directory that PEFT reads, whole or not at all.
 *
 * Errors    `argument_invalid` for a target that is there already, or that is not to be overwritten: a file, a folder
 *           without adapter_config.json or with folders in it; `disk_full`; those of `loraFiles`.
 */
export async function saveAdapterDirectory(
  policy: LoraModel,
  path: string,
  options: SaveAdapterOptions = {},
): Promise<void> {
  const { overwrite = false, ...fileOptions } = options;
  const target = await targetOf(path, overwrite, "adapter_config.json");
  await saveFiles(target, overwrite, { made: loraFiles(policy, fileOptions) });
}
