/** Models as the files of a Hugging Face directory. */
import { ForgeError } from "../error.ts";
import { type HostArray, hostArray } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import type { CausalLM } from "./causal-lm.ts";
import { configText, type HfConfig } from "./config.ts";
import { FAMILIES } from "./families.ts";
import { firstNonFinite, formatOf, fromF32, toF32 } from "./float-formats.ts";
import {
  type FloatDType,
  isFloatDType,
  readTensor,
  type SafetensorsEntry,
  tensorBytes,
} from "./safetensors.ts";
import { type SafetensorsTensor, safetensorsParts } from "./safetensors-writer.ts";
import { type CheckpointIndex, type CheckpointShard, INDEX_FILE, SINGLE_FILE } from "./shards.ts";
import { gather } from "./tensor-copy.ts";
import { type ParameterParts, parameterParts, type TensorPart, tensorsOf } from "./tensor-map.ts";

/** A file to be written: parts come one after the other, each when it is asked for, and once only. */
export interface ModelFile {
  readonly name: string;
  readonly parts: AsyncIterable<Uint8Array>;
}

/** Options of {@link modelFiles}. */
export interface SaveOptions {
  /** What weights are written in. Default: what each was read in; for a new model what it is held in, `F32` or `F16`. */
  readonly dtype?: FloatDType;
  /** Files of weights end before they get larger; a model that was read keeps its own. Default 5 GB. */
  readonly maxShardBytes?: number;
}

/** A parameter, and the columns of it that a tensor holds. */
interface Place {
  readonly parameter: ParameterParts;
  readonly part: TensorPart;
}

interface Shard {
  readonly name: string;
  readonly tensors: readonly SafetensorsTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The files of a model: config.json, its weights, and their index when there are several files of them.
 *
 * Tensors of a model that was read keep their names, order, file and dtype, those that it does not use are copied: what
 * no training has touched is the same to the byte. Weights held in 16 bits that were read from another format are taken from
 * there, unless they are among `model.changed`.
 *
 * Errors    `argument_invalid` for a model with adapters; while parts are read: `non_finite` for weights that the dtype
 *           cannot hold; those of reading the origin.
 */
export function modelFiles(model: CausalLM, options: SaveOptions = {}): ModelFile[] {
  const { checkpoint } = model;
  const shards = checkpoint
    ? originalShards(model, checkpoint, options)
    : newShards(model, options);
  const files = shards.map(
    ({ name, tensors, metadata }): ModelFile => ({
      name,
      parts: safetensorsParts(tensors, metadata),
    }),
  );
  files.push(textFile("config.json", configText(savedConfig(model, options))));
  if (shards[0]?.name !== SINGLE_FILE) files.push(jsonFile(INDEX_FILE, indexOf(shards)));
  return files;
}

const DTYPE_NAMES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

function savedConfig({ config }: CausalLM, { dtype }: SaveOptions): HfConfig {
  if (!dtype) return config;
  const key = "torch_dtype" in config ? "torch_dtype" : "dtype";
  return { ...config, [key]: DTYPE_NAMES[dtype] };
}

function placesOf(model: CausalLM): Place[] {
  return parameterParts(model.transformer, FAMILIES[model.family].names).flatMap((parameter) => {
    if (parameter.parts.length === 0) throw homeless(model, parameter.state);
    return parameter.parts.map((part) => ({ parameter, part }));
  });
}

function homeless({ family }: CausalLM, state: State): ForgeError {
  return new ForgeError({
    code: "argument_invalid",
    what: "modelFiles: the model has a parameter that its files have no place for.",
    got: `"${state.name}" in a model of the family ${family}`,
    why: "saving the others alone would lose it",
    fix: "save adapters with loraFiles, or the model with them as mergeLora gives it",
  });
}

/** The files that the model was read from. */
function originalShards(
  model: CausalLM,
  checkpoint: CheckpointIndex,
  { dtype }: SaveOptions,
): Shard[] {
  const places = new Map<SafetensorsEntry, Place>();
  for (const place of placesOf(model)) {
    for (const { entry } of tensorsOf(checkpoint, place.part)) places.set(entry, place);
  }
  const read = cachedReader();
  return checkpoint.shards.map((shard) => ({
    name: shard.name,
    metadata: shard.header.metadata,
    tensors: [...shard.header.entries.values()].map((entry) => {
      const place = places.get(entry);
      if (!place || !isFloatDType(entry.dtype)) return copied(shard, entry);
      const { state } = place.parameter;
      const as = dtype ?? entry.dtype;
      const format = formatOf(state.dtype);
      const isNarrowed = format !== "F32" && format !== entry.dtype;
      if (isNarrowed && !model.changed.has(state)) return copied(shard, entry, as);
      return gathered(entry.name, as, place, { file: shard.name, read });
    }),
  }));
}

function newShards(model: CausalLM, { dtype, maxShardBytes = 5e9 }: SaveOptions): Shard[] {
  if (!(maxShardBytes > 0)) {
    throw new ForgeError({
      code: "argument_invalid",
      what: "modelFiles: maxShardBytes is no positive number.",
      got: String(maxShardBytes),
      fix: "leave it out, for files of at most 5 GB",
    });
  }
  const dtypeOf = ({ parameter }: Place): FloatDType => dtype ?? formatOf(parameter.state.dtype);
  const groups: Place[][] = [[]];
  let bytes = 0;
  for (const place of placesOf(model)) {
    const size = tensorBytes(dtypeOf(place), place.part.shape);
    if (bytes > 0 && bytes + size > maxShardBytes) {
      groups.push([]);
      bytes = 0;
    }
    bytes += size;
    groups.at(-1)?.push(place);
  }
  const read = cachedReader();
  return groups.map((places, i) => {
    const file = groups.length === 1 ? SINGLE_FILE : shardName(i, groups.length);
    return {
      name: file,
      tensors: places.map((p) => gathered(p.part.name, dtypeOf(p), p, { file, read })),
      metadata: { format: "pt" }, // without it the original library refuses the file
    };
  });
}

function shardName(index: number, count: number): string {
  const five = (n: number): string => String(n).padStart(5, "0");
  return `model-${five(index + 1)}-of-${five(count)}.safetensors`;
}

function indexOf(shards: readonly Shard[]): object {
  const all = shards.flatMap((s) => s.tensors.map((t) => ({ ...t, file: s.name })));
  const sum = (sizes: readonly number[]): number => sizes.reduce((a, b) => a + b, 0);
  return {
    metadata: {
      total_parameters: sum(all.map((t) => t.shape.reduce((a, b) => a * b, 1))),
      total_size: sum(all.map((t) => tensorBytes(t.dtype, t.shape))),
    },
    weight_map: Object.fromEntries(
      all.map((t) => [t.name, t.file] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
  };
}

/** A file of one value, as Hugging Face's tools format it. */
export function jsonFile(name: string, value: object): ModelFile {
  return textFile(name, JSON.stringify(value, null, 2));
}

function textFile(name: string, text: string): ModelFile {
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(`${text}\n`);
  }
  return { name, parts: parts() };
}

/** A tensor as it is in the origin, or its values in another dtype. */
function copied(
  { name: file, source }: CheckpointShard,
  entry: SafetensorsEntry,
  dtype = entry.dtype,
): SafetensorsTensor {
  const { name, shape, dtype: from } = entry;
  async function* converted(to: FloatDType): AsyncGenerator<Uint8Array> {
    for await (const bytes of readTensor(source, entry)) {
      yield encoded(toF32(bytes, from as FloatDType), to, name, file);
    }
  }
  const isSame = dtype === from || !isFloatDType(dtype);
  return {
    name,
    shape,
    dtype,
    bytes: () => (isSame ? readTensor(source, entry) : converted(dtype)),
  };
}

/** Values of states. The last few are kept: a fused parameter is asked for once for each of its tensors. */
function cachedReader(): (state: State) => Promise<HostArray> {
  const kept = new Map<State, Promise<HostArray>>();
  return (state) => {
    const known = kept.get(state);
    if (known) return known;
    const values = state.read();
    kept.set(state, values);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value as State);
    return values;
  };
}

/** Weight and bias of the two projections of attention, whose tensors come in any order. */
const MOST_KEPT = 4;
/** Elements encoded at once. */
const CHUNK = 2 ** 20;

/** A tensor out of the parameter that it is some columns of. */
function gathered(
  name: string,
  dtype: FloatDType,
  { parameter: { state, isTransposed }, part: { shape, start, columns } }: Place,
  to: { readonly file: string; readonly read: (state: State) => Promise<HostArray> },
): SafetensorsTensor {
  const format = formatOf(state.dtype);
  async function* bytes(): AsyncGenerator<Uint8Array> {
    const values = await to.read(state);
    const stride = state.shape.at(-1) as number;
    const rows = state.size / stride;
    const size = rows * columns;
    for (let at = 0; at < size; at += CHUNK) {
      const chunk = hostArray(state.dtype, Math.min(CHUNK, size - at));
      gather(values, at, { rows, stride, start, columns, isTransposed }, chunk);
      const bytes = new Uint8Array(chunk.buffer);
      yield encoded(format === dtype ? bytes : toF32(bytes, format), dtype, name, to.file);
    }
  }
  return { name, dtype, shape, bytes };
}

/**
 * Values of a tensor, or its bytes where they are of the dtype, as bytes of a file.
 *
 * Errors    `non_finite` for values that the dtype cannot hold.
 */
export function encoded(
  values: Float32Array | Uint8Array,
  dtype: FloatDType,
  name: string,
  file: string,
): Uint8Array {
  const bytes = values instanceof Float32Array ? fromF32(values, dtype) : values;
  const bad = firstNonFinite(bytes, dtype);
  if (bad < 0) return bytes;
  throw new ForgeError({
    code: "non_finite",
    what: `${file}: the tensor "${name}" is not written.`,
    got: `NaN, infinity, or a value beyond what ${dtype} holds`,
    why: "what is saved must be readable again",
    fix: 'pass dtype: "F32" if training went well; else go back to an earlier checkpoint',
  });
}
