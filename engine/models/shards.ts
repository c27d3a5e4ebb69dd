/**
 * The weights of a Hugging Face model directory: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` lists: {"metadata": {…}, "weight_map": {tensor: file}}.
 */
import type { ByteSource } from "./byte-source.ts";
import { fileInvalid, quote } from "./file-invalid.ts";
import { JsonCursor } from "./json-cursor.ts";
import {
  MAX_HEADER_BYTES,
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from "./safetensors.ts";

/** The weights of a model in one file. */
export const SINGLE_FILE = "model.safetensors";
/** The list of its files, where there are several. */
export const INDEX_FILE = "model.safetensors.index.json";

/** A folder of files. Whoever made it closes what it opened. */
export interface CheckpointFiles {
  /** The file of that plain name, or undefined when there is none. */
  open(name: string): Promise<ByteSource | undefined>;
}

/** One file of a checkpoint. */
export interface CheckpointShard {
  /** Its plain name, as the index has it. */
  readonly name: string;
  readonly source: ByteSource;
  readonly header: SafetensorsHeader;
}

/** Where a tensor's bytes are: arguments of `readTensor`. */
export interface CheckpointTensor {
  readonly source: ByteSource;
  readonly entry: SafetensorsEntry;
}

/** The tensors of a model, none of them read yet. */
export interface CheckpointIndex {
  /** All tensors by name, shard by shard in the order of each header. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** The files, in the order in which the index first names them. */
  readonly shards: readonly CheckpointShard[];
}

/**
 * Opens the weights of a model directory and checks the headers of all its files. `model.safetensors` goes before an
 * index, as in the Hugging Face tools.
 *
 * Errors    `file_invalid` when there are no weights, the index or a shard is malformed, a shard is missing or its name
 *           is a path, a mapped tensor is not in its shard, or two shards hold the same tensor.
 */
export async function openCheckpoint(files: CheckpointFiles): Promise<CheckpointIndex> {
  const single = await files.open(SINGLE_FILE);
  if (single !== undefined) return joined([await openShard(SINGLE_FILE, single)]);
  const index = await files.open(INDEX_FILE);
  if (index === undefined) {
    throw fileInvalid(SINGLE_FILE, {
      what: "there are no weights.",
      got: `neither ${SINGLE_FILE} nor ${INDEX_FILE}`,
      why: "only the safetensors format is read",
      fix: "convert other formats with save_pretrained(…, safe_serialization=True)",
    });
  }
  const map = await readWeightMap(index);
  const shards = new Map<string, CheckpointShard>();
  for (const [tensor, name] of map) {
    if (shards.has(name)) continue;
    const source = await files.open(name);
    if (source === undefined) {
      const what = "its shard does not exist.";
      throw fileInvalid(index.name, { tensor, what, got: quote(name), fix: "fetch all files" });
    }
    shards.set(name, await openShard(name, source));
  }
  for (const [tensor, name] of map) {
    const shard = shards.get(name);
    if (shard?.header.entries.has(tensor)) continue;
    throw fileInvalid(index.name, {
      tensor,
      what: "its shard does not hold it.",
      got: quote(name),
    });
  }
  return joined([...shards.values()]);
}

async function openShard(name: string, source: ByteSource): Promise<CheckpointShard> {
  return { name, source, header: await readSafetensorsHeader(source) };
}

function joined(shards: readonly CheckpointShard[]): CheckpointIndex {
  const tensors = new Map<string, CheckpointTensor>();
  for (const { source, header } of shards) {
    for (const [tensor, entry] of header.entries) {
      const other = tensors.get(tensor);
      if (other !== undefined) {
        const what = "another shard holds it too.";
        throw fileInvalid(source.name, { tensor, what, got: other.source.name });
      }
      tensors.set(tensor, { source, entry });
    }
  }
  return { tensors, shards };
}

/** File names by tensor, in the order of the index. */
async function readWeightMap(source: ByteSource): Promise<Map<string, string>> {
  const file = source.name;
  if (source.size > MAX_HEADER_BYTES) {
    const why = `an index may have ${MAX_HEADER_BYTES}`;
    throw fileInvalid(file, { what: "the index is too long.", got: `${source.size} bytes`, why });
  }
  const cursor = new JsonCursor(indexText(file, await source.read(0, source.size)), (got, why) =>
    fileInvalid(file, { what: "the index is malformed.", got, why }),
  );
  let map: Map<string, string> | undefined;
  cursor.object((key) => {
    if (key === "weight_map") map = parseWeightMap(file, cursor);
    else cursor.skip();
  });
  cursor.end();
  if (map === undefined) throw fileInvalid(file, { what: "the index has no weight_map." });
  return map;
}

function indexText(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw fileInvalid(file, { what: "the index is not UTF-8.", cause });
  }
}

function parseWeightMap(file: string, cursor: JsonCursor): Map<string, string> {
  const map = new Map<string, string>();
  cursor.object((tensor) => {
    const name = cursor.string();
    if (!isPlainName(name)) {
      const why = "a shard lies beside its index: its name is no path";
      throw fileInvalid(file, { tensor, what: "its file name is unsafe.", got: quote(name), why });
    }
    map.set(tensor, name);
  });
  return map;
}

/** True unless a file system could take the name for a path, a drive or a stream. */
function isPlainName(name: string): boolean {
  return !/^\.{0,2}$|[/\\:\p{Control}]/u.test(name);
}
