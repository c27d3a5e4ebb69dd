/** Models as the files of a Hugging Face directory. */
import { ForgeError } from "../error.ts";
import type { HostArray } from "../tensor/dtype.ts";
import type { State } from "../tensor/state.ts";
import type { CausalLM } from "./causal-lm.ts";
import { FAMILIES } from "./families.ts";
import { f16ToF32, f32ToBf16, f32ToF16, firstNonFinite } from "./float-formats.ts";
import { type FloatDType, readTensor, tensorBytes } from "./safetensors.ts";
import { type SafetensorsTensor, safetensorsParts } from "./safetensors-writer.ts";
import type { CheckpointTensor } from "./shards.ts";
import { gather, type ParameterParts, parameterParts, type TensorPart } from "./tensor-map.ts";

/** A file to be written: parts come one after the other, each when it is asked for. */
export interface ModelFile {
  readonly name: string;
  readonly parts: AsyncIterable<Uint8Array>;
}

/** Options of {@link modelFiles}. */
export interface SaveOptions {
  /** What weights are written in. Default: what each was read in, `F32` for a new model. */
  readonly dtype?: FloatDType;
  /** Files of weights end before they get larger; a model that was read keeps its own. Default 5 GB. */
  readonly maxShardBytes?: number;
}

/** A tensor to be written, and the columns of a parameter that it holds; or the tensor that it is copied from. */
interface SavedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly place?: { readonly parameter: ParameterParts; readonly part: TensorPart };
  readonly origin?: CheckpointTensor;
}

interface Shard {
  readonly name: string;
  readonly tensors: readonly SavedTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The files of a model: config.json, its weights, and their index when there are several files of them.
 *
 * Tensors of a model that was read keep their names, order, file and dtype, those that it does not use are copied: what
 * no training has touched is the same to the byte. Weights held in f16 that were read from wider ones are copied too.
 *
 * Errors    while parts are read: `non_finite` for weights that the dtype cannot hold; those of reading the origin.
 */
export function modelFiles(model: CausalLM, options: SaveOptions = {}): ModelFile[] {
  const shards = model.checkpoint ? originalShards(model, options) : newShards(model, options);
  const read = cachedReader();
  const files: ModelFile[] = shards.map((shard) => ({
    name: shard.name,
    parts: safetensorsParts(
      shard.tensors.map((tensor) => writable(tensor, shard.name, read)),
      shard.metadata,
    ),
  }));
  files.push(jsonFile("config.json", savedConfig(model, options)));
  if (shards.length > 1) files.push(jsonFile("model.safetensors.index.json", indexOf(shards)));
  return files;
}

const DTYPE_NAMES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

function savedConfig({ config }: CausalLM, { dtype }: SaveOptions): object {
  if (!dtype) return config;
  const key = "torch_dtype" in config ? "torch_dtype" : "dtype";
  return { ...config, [key]: DTYPE_NAMES[dtype] };
}

function placesOf(model: CausalLM): NonNullable<SavedTensor["place"]>[] {
  return parameterParts(model.transformer, FAMILIES[model.family].names).flatMap((parameter) =>
    parameter.parts.map((part) => ({ parameter, part })),
  );
}

/** The files that the model was read from. */
function originalShards(model: CausalLM, { dtype }: SaveOptions): Shard[] {
  const places = new Map(
    placesOf(model).flatMap((p) => [
      [p.part.shortName, p],
      [p.part.name, p],
    ]),
  );
  const shards = model.checkpoint?.shards ?? [];
  return shards.map(({ source, header }, i) => ({
    name: shards.length === 1 ? "model.safetensors" : shardName(i, shards.length),
    metadata: header.metadata,
    tensors: [...header.entries.values()].map((entry): SavedTensor => {
      const place = places.get(entry.name);
      const isNarrowed =
        place?.parameter.state.dtype === "f16" &&
        entry.dtype !== "F16" &&
        !model.changed.has(place.parameter.state);
      const { name, shape } = entry;
      if (!place || isNarrowed)
        return { name, shape, dtype: entry.dtype, origin: { source, entry } };
      return { name, shape, dtype: dtype ?? entry.dtype, place };
    }),
  }));
}

function newShards(model: CausalLM, options: SaveOptions): Shard[] {
  const { maxShardBytes = 5e9 } = options;
  const shards: SavedTensor[][] = [[]];
  let bytes = 0;
  for (const place of placesOf(model)) {
    const { name, shape } = place.part;
    const dtype = options.dtype ?? (place.parameter.state.dtype === "f16" ? "F16" : "F32");
    const size = tensorBytes(dtype, shape);
    if (bytes > 0 && bytes + size > maxShardBytes) {
      shards.push([]);
      bytes = 0;
    }
    bytes += size;
    shards.at(-1)?.push({ name, shape, dtype, place });
  }
  return shards.map((tensors, i) => ({
    name: shards.length === 1 ? "model.safetensors" : shardName(i, shards.length),
    tensors,
    metadata: { format: "pt" }, // without it the original library refuses the file
  }));
}

function shardName(index: number, count: number): string {
  const five = (n: number): string => String(n).padStart(5, "0");
  return `model-${five(index + 1)}-of-${five(count)}.safetensors`;
}

function indexOf(shards: readonly Shard[]): object {
  const all = shards.flatMap((s) => s.tensors.map((t) => ({ ...t, file: s.name })));
  return {
    metadata: {
      total_size: all.reduce((sum, t) => sum + tensorBytes(t.dtype as FloatDType, t.shape), 0),
    },
    weight_map: Object.fromEntries(all.map((t) => [t.name, t.file])),
  };
}

function jsonFile(name: string, value: object): ModelFile {
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  }
  return { name, parts: parts() };
}

type Reader = (state: State) => Promise<HostArray>;

/** Values of states. The last few are kept: a fused parameter is asked for once for each of its tensors. */
function cachedReader(): Reader {
  const kept = new Map<State, Promise<HostArray>>();
  return (state) => {
    const known = kept.get(state);
    if (known) return known;
    const values = state.read();
    kept.set(state, values);
    if (kept.size > 3) kept.delete(kept.keys().next().value as State);
    return values;
  };
}

function writable(tensor: SavedTensor, file: string, read: Reader): SafetensorsTensor {
  const { name, shape, origin, place } = tensor;
  const dtype = tensor.dtype as FloatDType;
  if (origin) return { name, shape, dtype, bytes: () => readTensor(origin.source, origin.entry) };
  return { name, shape, dtype, bytes: () => encoded(place as NonNullable<typeof place>) };

  /** In pieces of a few MiB. */
  async function* encoded({
    parameter: { state, isTransposed },
    part,
  }: NonNullable<SavedTensor["place"]>): AsyncGenerator<Uint8Array> {
    const values = await read(state);
    const stride = state.shape.at(-1) as number;
    const { start, columns } = part;
    const rows = state.size / stride;
    const size = rows * columns;
    const make = (n: number): HostArray =>
      values instanceof Float32Array ? new Float32Array(n) : new Uint16Array(n);
    for (let at = 0; at < size; at += CHUNK) {
      const chunk = make(Math.min(CHUNK, size - at));
      gather(values, at, { stride, start, columns, rows, isTransposed }, chunk);
      yield checked(toBytes(chunk, dtype), dtype, name, file);
    }
  }
}

/** Elements encoded at once. */
const CHUNK = 2 ** 20;

function toBytes(values: HostArray, dtype: FloatDType): Uint8Array {
  if (values instanceof Uint16Array && dtype === "F16") return bytesOf(values);
  const wide = values instanceof Float32Array ? values : f16ToF32(bytesOf(values));
  if (dtype === "F32") return bytesOf(wide);
  return bytesOf(dtype === "BF16" ? f32ToBf16(wide) : f32ToF16(wide));
}

function bytesOf(values: HostArray): Uint8Array {
  return new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
}

function checked(bytes: Uint8Array, dtype: FloatDType, name: string, file: string): Uint8Array {
  if (firstNonFinite(bytes, dtype) < 0) return bytes;
  throw new ForgeError({
    code: "non_finite",
    what: `${file}: the tensor "${name}" is not written.`,
    got: `NaN, or a value beyond what ${dtype} holds`,
    fix: 'pass dtype: "F32" if training went well; else go back to an earlier checkpoint',
  });
}
