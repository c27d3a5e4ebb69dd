/** The checkpoints of test/golden/models in Node and in the browser: files as bytes, by way of the bundler. */

import {
  type CausalLM,
  type Device,
  type HfConfig,
  loadModel,
  type WeightDType,
} from "../../engine/index.ts";
import { type ByteSource, bytesSource } from "../../engine/models/byte-source.ts";
import { type CheckpointFiles, openCheckpoint } from "../../engine/models/shards.ts";

const urls = import.meta.glob<string>("../golden/models/*/*.safetensors", {
  query: "?inline",
  import: "default",
});
const texts = import.meta.glob<string>("../golden/models/*/*.json", {
  query: "?raw",
  import: "default",
});

/** Names of the folders. */
export const goldenModels: readonly string[] = [
  ...new Set(Object.keys(urls).map((path) => path.split("/").at(-2) as string)),
];

/** A file of one of them; undefined where there is none. */
export async function goldenFile(model: string, name: string): Promise<Uint8Array | undefined> {
  const path = `../golden/models/${model}/${name}`;
  const text = await texts[path]?.();
  if (text !== undefined) return new TextEncoder().encode(text);
  const url = await urls[path]?.();
  return url === undefined ? undefined : new Uint8Array(await (await fetch(url)).arrayBuffer());
}

/** The files of one of them, for `openCheckpoint`. */
export function goldenFiles(model: string): CheckpointFiles {
  return {
    open: async (name): Promise<ByteSource | undefined> => {
      const bytes = await goldenFile(model, name);
      return bytes && bytesSource(`${model}/${name}`, bytes);
    },
  };
}

export async function goldenConfig(model: string): Promise<HfConfig> {
  return JSON.parse(new TextDecoder().decode(await goldenFile(model, "config.json"))) as HfConfig;
}

export async function loadGolden(
  device: Device,
  model: string,
  dtype: WeightDType = "f32",
): Promise<CausalLM> {
  const checkpoint = await openCheckpoint(goldenFiles(model));
  return loadModel(await goldenConfig(model), checkpoint, { device, dtype });
}

/** What the original library gave: ids [rows, tokens], logits [rows, tokens, vocab]. */
export interface Expected {
  readonly rows: number;
  readonly tokens: number;
  readonly ids: Uint32Array;
  readonly logits: Float32Array;
}

export async function expectedOf(model: string): Promise<Expected> {
  return readExpected((await goldenFile(model, "expected.safetensors")) as Uint8Array);
}

/** What an expected.safetensors holds. */
export async function readExpected(bytes: Uint8Array): Promise<Expected> {
  const source = bytesSource("expected.safetensors", bytes);
  const { readSafetensorsHeader } = await import("../../engine/models/safetensors.ts");
  const { entries } = await readSafetensorsHeader(source);
  const read = async (name: string): Promise<{ shape: readonly number[]; data: ArrayBuffer }> => {
    const entry = entries.get(name);
    if (!entry) throw new Error(`expected.safetensors has no ${name}`);
    const part = await source.read(entry.begin, entry.end - entry.begin);
    return { shape: entry.shape, data: part.slice().buffer as ArrayBuffer };
  };
  const [ids, logits] = [await read("ids"), await read("logits")];
  return {
    rows: ids.shape[0] as number,
    tokens: ids.shape[1] as number,
    ids: Uint32Array.from(new BigInt64Array(ids.data), Number),
    logits: new Float32Array(logits.data),
  };
}
