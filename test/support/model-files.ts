/** Files of models in memory: what was saved, to be compared and loaded again. */
import {
  type CausalLM,
  type Device,
  type HfConfig,
  type LoadOptions,
  loadModel,
  memoryFiles,
  modelFiles,
  openCheckpoint,
  type SaveOptions,
} from "../../engine/index.ts";
import { goldenFile, goldenFiles } from "./golden-models.ts";
import { joined } from "./safetensors.ts";

/** Contents by name. */
export type Files = Map<string, Uint8Array>;

/** All that a model is saved as. */
export async function savedFiles(model: CausalLM, options?: SaveOptions): Promise<Files> {
  const files: Files = new Map();
  for (const { name, parts } of modelFiles(model, options)) files.set(name, await joined(parts));
  return files;
}

/** A model from its files. */
export async function loadFiles(
  device: Device,
  files: Files,
  options: Partial<LoadOptions> = {},
): Promise<CausalLM> {
  const checkpoint = await openCheckpoint(memoryFiles(files));
  return loadModel(configIn(files), checkpoint, { device, ...options });
}

export function configIn(files: Files): HfConfig {
  return JSON.parse(new TextDecoder().decode(files.get("config.json"))) as HfConfig;
}

/** The files of a golden checkpoint that are its model. */
export async function goldenModelFiles(model: string): Promise<Files> {
  const { shards } = await openCheckpoint(goldenFiles(model));
  const files: Files = new Map();
  for (const name of [
    ...shards.map((shard) => shard.name),
    ...["config.json", "model.safetensors.index.json"],
  ]) {
    const bytes = await goldenFile(model, name);
    if (bytes) files.set(name, bytes);
  }
  return files;
}
