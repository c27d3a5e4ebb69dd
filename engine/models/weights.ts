/** The way of weights from the tensors of a checkpoint into a model's states. */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { Random } from "../nn/random.ts";
import { Transformer, type TransformerOptions } from "../nn/transformer.ts";
import type { WeightDType } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import { CausalLM } from "./causal-lm.ts";
import type { HfConfig } from "./config.ts";
import { FAMILIES, modelOptions } from "./families.ts";
import type { NameMap } from "./names.ts";
import { isFloatDType, readTensor } from "./safetensors.ts";
import type { CheckpointIndex, CheckpointTensor } from "./shards.ts";
import { scatter } from "./tensor-copy.ts";
import {
  embeddingAndHead,
  type ParameterParts,
  parameterParts,
  type TensorPart,
  tensorsOf,
} from "./tensor-map.ts";
import { WeightUpload } from "./weight-upload.ts";

/** Options of {@link loadModel}. */
export interface LoadOptions {
  readonly device: Device;
  /**
   * What linear weights and embeddings are held in; vectors are always f32. `f16` and `bf16` take half the memory, on every
   * adapter; what the checkpoint has in the same format is kept to the bit. Default `f32`.
   */
  readonly dtype?: WeightDType;
  /** Recompute layers in the backward instead of keeping their intermediates. */
  readonly isCheckpointed?: boolean;
  /** Called as bytes arrive. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** A part of a parameter with the tensor that fills it. */
interface Source extends TensorPart {
  readonly tensor: CheckpointTensor;
}

/**
 * A model from its config.json and its weights: no more than one parameter is on the host at a time.
 *
 * Everything is checked before the first byte is sent to the GPU, but non-finite weights: those end the loading, and what
 * was allocated is freed. Where config.json ties head and embedding but the files hold two that differ, they stay two, as
 * in the original library.
 *
 * Errors    `config_invalid`; `model_unsupported`; `checkpoint_invalid`, naming file and tensor, for one that is missing, has
 *           another shape, is no float, or holds NaN or infinity; `device_limit`, `out_of_memory`; those of reading.
 */
export async function loadModel(
  config: HfConfig,
  checkpoint: CheckpointIndex,
  options: LoadOptions,
): Promise<CausalLM> {
  const { family, options: sizes } = modelOptions(config);
  const { names } = FAMILIES[family];
  const isTied = sizes.isTied !== false && (await isHeadTied(checkpoint, names));
  const transformer = emptyTransformer({ ...sizes, isTied }, options);
  const parameters = parameterParts(transformer, names);
  const sources = parameters.map((p) => p.parts.map((part) => sourceOf(checkpoint, part)));
  for (const { state } of parameters) checkFits(options.device, state);
  const upload = new WeightUpload(options.device, reporter(sources.flat(), options));
  try {
    for (const [i, parameter] of parameters.entries())
      await fill(parameter, sources[i] as Source[], upload);
    await upload.finish();
  } catch (error) {
    for (const { state } of parameters) state[Symbol.dispose]();
    throw error;
  }
  return new CausalLM(family, transformer, { config, checkpoint });
}

/** Whether the head may be the embedding's table: unless the files hold both, and they differ. */
async function isHeadTied(checkpoint: CheckpointIndex, names: NameMap): Promise<boolean> {
  const [table, head] = embeddingAndHead(checkpoint, names);
  if (!table || !head) return true;
  const [a, b] = [table.entry, head.entry];
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  const theirs = readTensor(head.source, b);
  for await (const bytes of readTensor(table.source, a)) {
    const { value } = await theirs.next();
    if (!value || !isSame(bytes, value)) return false;
  }
  return true;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

/** Tells whoever wants to know how many of the bytes of all tensors have been read. */
function reporter(
  sources: readonly Source[],
  { onProgress }: LoadOptions,
): (bytes: number) => void {
  const total = sources.reduce((sum, { tensor: { entry } }) => sum + entry.end - entry.begin, 0);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress?.(done, total);
  };
}

/** A decoder whose states hold nothing yet. */
function emptyTransformer(sizes: TransformerOptions, options: LoadOptions): Transformer {
  const { isCheckpointed, dtype = "f32" } = options;
  return new Transformer(new Random(0), {
    ...sizes,
    init: () => 0,
    weightDtype: dtype,
    ...(isCheckpointed ? { isCheckpointed } : {}),
  });
}

function sourceOf(checkpoint: CheckpointIndex, part: TensorPart): Source {
  const [tensor] = tensorsOf(checkpoint, part);
  if (!tensor) {
    const files = checkpoint.shards.map(({ source }) => source.name);
    throw new ForgeError({
      code: "checkpoint_invalid",
      what: `${files[0]}${files.length > 1 ? " and the other shards" : ""}: the tensor "${part.name}" is missing.`,
      got: `${checkpoint.tensors.size} other tensors`,
      why: "the model that config.json describes has it",
      fix: "check that config.json and the weights are of one model",
    });
  }
  const { entry, source } = tensor;
  if (!isFloatDType(entry.dtype) || entry.shape.join() !== part.shape.join()) {
    throw new ForgeError({
      code: "checkpoint_invalid",
      what: `${source.name}: the tensor "${entry.name}" is not what config.json describes.`,
      got: `${entry.dtype} [${entry.shape.join(", ")}]`,
      why: `it must be F32, F16 or BF16 [${part.shape.join(", ")}]`,
      fix: "check that config.json and the weights are of one model; quantized weights cannot be read",
    });
  }
  return { ...part, tensor };
}

function checkFits({ maxBufferBytes }: Device, { name, sizeBytes, dtype }: State): void {
  if (sizeBytes <= maxBufferBytes) return;
  throw new ForgeError({
    code: "device_limit",
    what: `the model's "${name}" is larger than this adapter allows.`,
    got: `${sizeBytes} bytes of ${dtype}`,
    why: `a buffer may have ${maxBufferBytes}`,
    fix: dtype === "f32" ? "load it as f16 or bf16, or use a smaller model" : "use a smaller model",
  });
}

/** Fills a parameter: as it is read when one tensor is all of it, else put together first. */
async function fill(
  { state, isTransposed }: ParameterParts,
  sources: readonly Source[],
  upload: WeightUpload,
): Promise<void> {
  const stride = state.shape.at(-1) as number;
  const rows = state.size / stride;
  const isDirect = sources.length === 1 && !isTransposed;
  const whole = isDirect ? undefined : upload.roomFor(state);
  for (const { tensor, start, columns } of sources) {
    let at = 0;
    for await (const values of upload.read(tensor, state.dtype)) {
      if (whole) scatter(values, at, { rows, stride, start, columns, isTransposed }, whole);
      else await upload.write(state, values, at);
      at += values.length;
    }
  }
  if (whole) await upload.write(state, whole, 0);
}
