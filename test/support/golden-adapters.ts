/** The PEFT directories of test/golden/lora in Node and in the browser. Each is named after the model that it is for. */
import { type CausalLM, type LoraModel, loadLora, memoryFiles } from "../../engine/index.ts";
import { type Expected, readExpected } from "./golden-models.ts";

const urls = import.meta.glob<string>("../golden/lora/*/*.safetensors", {
  query: "?inline",
  import: "default",
});
const texts = import.meta.glob<string>("../golden/lora/*/*.json", {
  query: "?raw",
  import: "default",
});

/** Names of the folders. */
export const goldenAdapters: readonly string[] = Object.keys(texts).map(
  (path) => path.split("/").at(-2) as string,
);

/** adapter_config.json and adapter_model.safetensors of one of them, by name. */
export async function adapterFiles(name: string): Promise<Map<string, Uint8Array>> {
  const folder = `../golden/lora/${name}`;
  const config = await (texts[`${folder}/adapter_config.json`] as () => Promise<string>)();
  return new Map([
    ["adapter_config.json", new TextEncoder().encode(config)],
    ["adapter_model.safetensors", await bytesAt(`${folder}/adapter_model.safetensors`)],
  ]);
}

/** The model with the adapters of that name. */
export async function loadGoldenAdapter(base: CausalLM, name: string): Promise<LoraModel> {
  return loadLora(base, memoryFiles(await adapterFiles(name)));
}

/** What PEFT computes with it. */
export async function adapterExpected(name: string): Promise<Expected> {
  return readExpected(await bytesAt(`../golden/lora/${name}/expected.safetensors`));
}

async function bytesAt(path: string): Promise<Uint8Array> {
  const url = await (urls[path] as () => Promise<string>)();
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}
