/** A run on disk, as far as its model goes: run.json and checkpoints. */
import { join } from "node:path";
import { type CausalLM, type Device, namedParameters } from "../../engine/index.ts";
import { captureModel } from "../../src/train/checkpoint/capture.ts";
import { recordBest } from "../../src/train/checkpoint/keep.ts";
import { writeCheckpoint } from "../../src/train/checkpoint/write.ts";
import { modelSection } from "../../src/train/config/model-section.ts";
import type { ModelSection } from "../../src/train/config/types.ts";
import { openPolicy } from "../../src/train/policy/policy.ts";
import { writeJsonFile } from "../../src/train/run/json-file.ts";
import { randoms } from "./gpu.ts";

/** A model made anew that reads digits and signs. */
export const SUMS = {
  create: {
    ...{ layers: 2, width: 16, heads: 2, kvHeads: 1, maxLength: 64, seed: 5 },
    tokenizer: { kind: "characters", alphabet: "0123456789+= " },
  },
} as const;

/** A section `model` with its defaults. */
export function sectionOf(given: object): ModelSection {
  return modelSection.parse(given);
}

/** Moves everything that is trained, as training would. */
export async function disturb(device: Device, model: CausalLM, seed: number): Promise<void> {
  const random = randoms(seed);
  for (const [, state] of namedParameters(model)) {
    const values = (await state.read()) as Float32Array;
    const noise = random.floats(state.size, -0.1, 0.1);
    state.write(
      device,
      values.map((value, i) => value + (noise[i] as number)),
    );
  }
}

/**
 * Writes a run whose checkpoints are of steps 1 and 2, of which the first was the best. Nothing but their weights and
 * those of something else is in them.
 */
export async function saveRun(path: string, device: Device, section: ModelSection): Promise<void> {
  const checkpoints = join(path, "checkpoints");
  await using policy = await openPolicy(section, { device });
  for (const step of [1, 2]) {
    await disturb(device, policy.model, step);
    const tensors = { policy: captureModel(policy.model), other: { tensors: [] } };
    await writeCheckpoint(checkpoints, step, { tensors, state: { step } });
  }
  recordBest(checkpoints, { step: 1, score: 0.5 });
  writeJsonFile(join(path, "run.json"), { config: { model: section } });
}
