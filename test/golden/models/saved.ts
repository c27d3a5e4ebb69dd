/**
 * Writes model directories for check.py, which loads them with the original library: a new model of each family with odd
 * sizes, and every checkpoint of this folder as it is saved again, each with our logits.
 *
 * Run by hand: npx tsx test/golden/models/saved.ts <folder>, then python test/golden/models/check.py <folder>.
 */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type CausalLM,
  chainForest,
  compile,
  createModel,
  type Device,
  type FamilyName,
  type ModelConfig,
  openDevice,
  openModelDirectory,
  Random,
  saveModelDirectory,
  safetensorsParts,
  setDefaultDevice,
  type Tensor,
  tensor,
} from "../../../src/index.ts";

const [ROWS, TOKENS] = [2, 20];
const SIZES = { vocab: 61, layers: 3, heads: 3, width: 36, initStd: 0.3, maxDepth: 64 };
const ROPES = {
  linear: { theta: 5e5, scaling: { kind: "linear", factor: 2 } },
  llama3: {
    theta: 1e4,
    scaling: {
      ...({ kind: "llama3", factor: 8, lowFrequencyFactor: 1 } as const),
      ...{ highFrequencyFactor: 4, originalContext: 16 },
    },
  },
} as const;
const WINDOWS = [{ window: 5 }, { window: 0 }, { window: 5 }];

const MODELS: Readonly<Record<string, Partial<ModelConfig> & { readonly family: FamilyName }>> = {
  llama: { family: "llama", kvHeads: 1, headDim: 8, mlpWidth: 37, hasBias: true, isTied: false },
  "llama-scaled": { family: "llama", rope: ROPES.llama3 },
  mistral: { family: "mistral", kvHeads: 3, headDim: 20, window: 5 },
  qwen2: { family: "qwen2", layerAttention: WINDOWS, rope: ROPES.linear },
  qwen3: { family: "qwen3", kvHeads: 1, headDim: 16, isTied: false },
  gemma2: {
    ...{ family: "gemma2", headDim: 16, layerAttention: WINDOWS },
    ...{ attentionSoftcap: 20, logitSoftcap: 10, attentionScale: 0.2 },
  },
  gemma3: {
    ...{ family: "gemma3_text", headDim: 24, rope: ROPES.linear, attentionScale: 24 ** -0.5 },
    layerAttention: WINDOWS.map((l) => (l.window ? { ...l, rope: { theta: 1e4 } } : l)),
  },
  gpt2: { family: "gpt2", mlpWidth: 50 },
};

async function writeLogits(device: Device, model: CausalLM, folder: string): Promise<void> {
  const random = new Random(1);
  const ids = Uint32Array.from({ length: ROWS * TOKENS }, () => random.integer(model.options.vocab));
  const forest = chainForest(new Array<number>(ROWS).fill(TOKENS));
  const { transformer } = model;
  const run = compile((input: Tensor) => transformer.logits(transformer.hidden(input, forest)), {
    device,
  });
  const logits = await (await run(tensor(ids))).read();
  const bytes = (data: Uint32Array | Float32Array): Uint8Array =>
    new Uint8Array(data.buffer as ArrayBuffer);
  const parts = safetensorsParts([
    { name: "ids", dtype: "I32", shape: [ROWS, TOKENS], bytes: () => bytes(ids) },
    {
      name: "logits",
      dtype: "F32",
      shape: [ROWS, TOKENS, model.options.vocab],
      bytes: () => bytes(logits as Float32Array),
    },
  ]);
  await writeFile(join(folder, "ours.safetensors"), parts);
}

const [target] = process.argv.slice(2);
if (!target) throw new Error("pass a folder to write to");
const device = await openDevice();
setDefaultDevice(device);
for (const [name, options] of Object.entries(MODELS)) {
  const model = createModel({ ...SIZES, seed: 5, ...options });
  const folder = join(target, `new-${name}`);
  await saveModelDirectory(model, folder, { maxShardBytes: 60_000 });
  await writeLogits(device, model, folder);
}
for (const entry of await readdir(import.meta.dirname, { withFileTypes: true })) {
  if (!entry.isDirectory()) continue;
  const from = await openModelDirectory(join(import.meta.dirname, entry.name), { device });
  const folder = join(target, `saved-${entry.name}`);
  await saveModelDirectory(from.model, folder, { from: { path: from.path } }); // with a config.json of ours
  await writeLogits(device, from.model, folder);
  await from.close();
}
process.exit(0);
