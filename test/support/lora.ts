/** What the tests of adapters share: a short text, its logits and loss, and saved files as bytes. */
import { expect } from "vitest";
import {
  type AdamW,
  applyLora,
  bytesSource,
  type CausalLM,
  chainForest,
  compile,
  grad,
  type LoraModel,
  type LoraOptions,
  type ModelFile,
  modelFiles,
  type State,
  type Tensor,
  tensor,
} from "../../engine/index.ts";
import { readSafetensorsHeader } from "../../engine/models/safetensors.ts";
import { goldenFile } from "./golden-models.ts";
import { device, randoms } from "./gpu.ts";

const gpu = await device();

const IDS = Uint32Array.from([7, 3, 50, 94, 20, 21, 22, 3]);
const LABELS = Uint32Array.from([3, 50, 94, 20, 21, 22, 3, 8]);

/** Logits [tokens, vocab] of sequences of `length` tokens. */
export async function logitsOf(
  { transformer }: CausalLM,
  ids: Uint32Array = IDS,
  length: number = ids.length,
): Promise<Float32Array> {
  const forest = chainForest(new Array<number>(ids.length / length).fill(length));
  using run = compile((x: Tensor) => transformer.logits(transformer.hidden(x, forest)), {
    device: gpu,
  });
  return (await (await run(tensor(ids))).read()) as Float32Array;
}

/** Mean negative log-prob of the short text. */
export function lossOf({ transformer }: CausalLM): Tensor {
  const scores = transformer.score(tensor(IDS), tensor(LABELS), chainForest([IDS.length]));
  return scores.logprob.mean().mul(-1);
}

/** One training step on it, inside a compiled function; gives the loss before. */
export function stepOf(policy: CausalLM, optimizer: AdamW): Tensor {
  const loss = lossOf(policy);
  optimizer.step(grad(loss, optimizer.parameters));
  return loss;
}

/** Adapters whose B is drawn too, in ±0.2. */
export function randomAdapters(base: CausalLM, options: LoraOptions): LoraModel {
  const policy = applyLora(base, options);
  const random = randoms(4);
  for (const { layer, part } of policy.adapters) {
    const b = layer.adapter.b[part] as State;
    b.write(gpu, random.floats(b.size, -0.2, 0.2));
  }
  return policy;
}

/** Values of states; bit patterns of those that are held in 16 bits. */
export function valuesOf(states: readonly State[]): Promise<Float32Array[]> {
  return Promise.all(states.map(async (s) => (await s.read()) as Float32Array));
}

/** The largest difference between two arrays. */
export function largest(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);
}

/** Files by name. */
export async function saved(files: readonly ModelFile[]): Promise<Map<string, Uint8Array>> {
  const all = new Map<string, Uint8Array>();
  for (const { name, parts } of files) {
    const bytes: number[] = [];
    for await (const part of parts) for (const byte of part) bytes.push(byte);
    all.set(name, Uint8Array.from(bytes));
  }
  return all;
}

/** Fails unless the saved model has the bytes of the golden one in all tensors but those that match, and others there. */
export async function expectUntouched(model: CausalLM, name: string, but: RegExp): Promise<void> {
  const origin = (await goldenFile(name, "model.safetensors")) as Uint8Array;
  const written = (await saved(modelFiles(model))).get("model.safetensors") as Uint8Array;
  const { entries } = await readSafetensorsHeader(bytesSource("origin", origin));
  expect(written.length).toBe(origin.length);
  for (const { name: tensorName, begin, end } of entries.values()) {
    const isSame = written.subarray(begin, end).every((b, i) => b === origin[begin + i]);
    expect([tensorName, isSame]).toEqual([tensorName, !but.test(tensorName)]);
  }
}
