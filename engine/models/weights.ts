/** The way of weights from the tensors of a checkpoint into a model's states, and back. */
import { ForgeError } from "../error.ts";
import type { Device } from "../gpu/device.ts";
import { Random } from "../nn/random.ts";
import { Transformer, type TransformerOptions } from "../nn/transformer.ts";
import { type HostArray, hostArray } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import { CausalLM } from "./causal-lm.ts";
import type { HfConfig } from "./config.ts";
import { FAMILIES, modelOptions } from "./families.ts";
import { bf16ToF32, f16ToF32, f32ToF16, firstNonFinite } from "./float-formats.ts";
import { type FloatDType, readTensor } from "./safetensors.ts";
import type { CheckpointIndex, CheckpointTensor } from "./shards.ts";
import { type ParameterParts, parameterParts, scatter, type TensorPart } from "./tensor-map.ts";

/** Options of {@link loadModel}. */
export interface LoadOptions {
  readonly device: Device;
  /** What linear weights and embeddings are held in; vectors are always f32. Default `f32`. */
  readonly dtype?: "f32" | "f16";
  /** Recompute layers in the backward instead of keeping their intermediates. */
  readonly isCheckpointed?: boolean;
  /** Called as bytes arrive. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A part of a parameter with the tensor that fills it. */
interface Source extends TensorPart {
  readonly tensor: CheckpointTensor;
}

/**
 * A model from its config.json and its weights, tensor by tensor: no more than one parameter is on the host at a time.
 *
 * Everything is checked before the first byte is sent to the GPU, but non-finite weights: those end the loading, and what
 * was allocated is freed.
 *
 * Errors    `config_invalid`; `model_unsupported`; `checkpoint_invalid`, naming file and tensor, for one that is missing, has
 *           another shape, is no float, or holds NaN or infinity; those of reading.
 */
export async function loadModel(
  config: HfConfig,
  checkpoint: CheckpointIndex,
  options: LoadOptions,
): Promise<CausalLM> {
  const { family, options: sizes } = modelOptions(config);
  const transformer = emptyTransformer(sizes, options);
  const parameters = parameterParts(transformer, FAMILIES[family].names);
  const sources = parameters.map((p) => p.parts.map((part) => sourceOf(checkpoint, part)));
  const total = sources
    .flat()
    .reduce((sum, s) => sum + s.tensor.entry.end - s.tensor.entry.begin, 0);
  let done = 0;
  const report = (bytes: number): void => {
    done += bytes;
    options.onProgress?.(done, total);
  };
  try {
    for (const [i, parameter] of parameters.entries())
      await fill(options.device, parameter, sources[i] as Source[], report);
  } catch (error) {
    for (const { state } of parameters) state[Symbol.dispose]();
    throw error;
  }
  return new CausalLM(family, transformer, { config, checkpoint });
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
  const tensor = checkpoint.tensors.get(part.name) ?? checkpoint.tensors.get(part.shortName);
  if (!tensor) {
    throw new ForgeError({
      code: "checkpoint_invalid",
      what: `${checkpoint.shards[0]?.source.name}: the tensor "${part.name}" is missing.`,
      got: `${checkpoint.tensors.size} other tensors`,
      why: "the model that config.json describes has it",
      fix: "check that config.json and the weights are of one model",
    });
  }
  const { entry, source } = tensor;
  const isFloat = entry.dtype === "F32" || entry.dtype === "F16" || entry.dtype === "BF16";
  if (!isFloat || entry.shape.join() !== part.shape.join()) {
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

/** Fills a parameter: in one piece when it must be put together, else as it is read. */
async function fill(
  device: Device,
  { state, isTransposed }: ParameterParts,
  sources: readonly Source[],
  report: (bytes: number) => void,
): Promise<void> {
  const stride = state.shape.at(-1) as number;
  const rows = state.size / stride;
  const isDirect = sources.length === 1 && !isTransposed;
  const whole = isDirect ? undefined : hostArray(state.dtype, state.size);
  for (const { tensor, start, columns } of sources) {
    let at = 0;
    for await (const bytes of readTensor(tensor.source, tensor.entry)) {
      const values = decoded(tensor, bytes, at, state);
      if (whole) scatter(values, at, { stride, start, columns, rows, isTransposed }, whole);
      else state.write(device, values, at);
      at += values.length;
      report(bytes.length);
    }
  }
  if (whole) state.write(device, whole);
}

function decoded(tensor: CheckpointTensor, bytes: Uint8Array, at: number, state: State): HostArray {
  const { entry } = tensor;
  const dtype = entry.dtype as FloatDType;
  const bad = firstNonFinite(bytes, dtype);
  if (bad >= 0) throw notFinite(tensor, at + bad, "it holds NaN or infinity");
  if (state.dtype === "f32") return toF32(bytes, dtype);
  if (dtype === "F16") return aligned(bytes, 2, (b, o) => new Uint16Array(b, o, bytes.length / 2));
  const narrow = f32ToF16(toF32(bytes, dtype));
  const lost = firstNonFinite(new Uint8Array(narrow.buffer), "F16");
  if (lost >= 0) throw notFinite(tensor, at + lost, "f16 ends at 65,504: load it as f32");
  return narrow;
}

function toF32(bytes: Uint8Array, dtype: FloatDType): Float32Array {
  if (dtype === "BF16") return bf16ToF32(bytes);
  if (dtype === "F16") return f16ToF32(bytes);
  return aligned(bytes, 4, (b, o) => new Float32Array(b, o, bytes.length / 4));
}

/** A view of the bytes as wider elements; of a copy where they do not lie on such a boundary. */
function aligned<A>(
  bytes: Uint8Array,
  size: number,
  view: (buffer: ArrayBufferLike, offset: number) => A,
): A {
  const from = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return view(from.buffer, from.byteOffset);
}

function notFinite({ entry, source }: CheckpointTensor, at: number, why: string): ForgeError {
  return new ForgeError({
    code: "checkpoint_invalid",
    what: `${source.name}: the tensor "${entry.name}" cannot be used.`,
    got: `element ${at}`,
    why,
    fix: "fetch the file again, or use another checkpoint",
  });
}
