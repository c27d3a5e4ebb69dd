/** Trained policies as directories that other programs read. */
import {
  type CausalLM,
  type Device,
  type FloatDType,
  ForgeError,
  LoraModel,
  mergeLora,
} from "../../../engine/index.ts";
import { saveAdapterDirectory } from "../../models/adapter-directory.ts";
import { saveModelDirectory } from "../../models/directory.ts";
import type { SmallFiles } from "../../models/save-files.ts";

/** `hf`: a whole model in the Hugging Face layout, adapters merged into it. `peft`: the adapters alone. */
export type ExportFormat = "hf" | "peft";

/** Options of {@link exportPolicy}. */
export interface ExportOptions {
  readonly device: Device;
  readonly model: CausalLM;
  /** The directory to write. */
  readonly to: string;
  /** Default: `peft` for a model with adapters, else `hf`. */
  readonly format?: ExportFormat;
  /** What weights are written in. Default: what each was read in; `F32` for new ones. */
  readonly dtype?: FloatDType;
  /** The directory that the model, or its base, was read from: its tokenizer and other small files go along. */
  readonly from?: { readonly path: string; readonly model?: CausalLM };
  /** Further files of a whole model, such as the tokenizer's of a new one. */
  readonly files?: SmallFiles;
  /** Take the place of such a directory that is there. Default false. */
  readonly overwrite?: boolean;
}

/**
 * Writes a policy, whole or not at all, and returns the format that was written.
 *
 * Errors    `argument_invalid` for `peft` of a model without adapters, and for a target that is there already or is
 *           something else; `non_finite` for weights that the dtype cannot hold; `disk_full`.
 */
export async function exportPolicy(options: ExportOptions): Promise<ExportFormat> {
  const { device, model, to, from, files, dtype, overwrite } = options;
  const { format = model instanceof LoraModel ? "peft" : "hf" } = options;
  const rest = { ...(dtype && { dtype }), ...(overwrite && { overwrite }) };
  if (format === "peft") {
    if (!(model instanceof LoraModel)) throw withoutAdapters(to);
    await saveAdapterDirectory(model, to, { ...rest, ...(from && { baseName: from.path }) });
    return format;
  }
  const merged = model instanceof LoraModel ? await mergeLora(model, { device }) : undefined;
  try {
    const also = { ...(from && { from }), ...(files && { files }) };
    await saveModelDirectory(merged ?? model, to, { ...rest, ...also });
  } finally {
    merged?.[Symbol.dispose]();
  }
  return format;
}

function withoutAdapters(to: string): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "a model without adapters cannot be written as an adapter.",
    got: `format "peft", to ${to}`,
    why: "all of its weights were trained",
    fix: 'use the format "hf"',
  });
}
