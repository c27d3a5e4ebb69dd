/** What a run leaves behind when a loss is not finite: the batch that it was computed from. */
import { join, resolve } from "node:path";
import { writeFile, writeFolder } from "../../models/folder.ts";
import { runError } from "../run/run-error.ts";
import { stepName } from "./place.ts";

/** One sample of the batch. Per-token arrays are aligned with its sampled tokens. */
export interface OffendingSample {
  /** Ids of its prompt, where it has one, and of what was sampled. */
  readonly promptIds?: ArrayLike<number>;
  readonly responseIds: ArrayLike<number>;
  readonly reward: number;
  readonly advantages?: ArrayLike<number>;
  readonly rolloutLogprobs?: ArrayLike<number>;
  readonly oldLogprobs?: ArrayLike<number>;
  readonly trainerLogprobs?: ArrayLike<number>;
  readonly referenceLogprobs?: ArrayLike<number>;
}

/** The batch of a step whose loss was not finite. */
export interface OffendingBatch {
  /** The step's metrics as far as they are known, the loss among them. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly samples: Iterable<OffendingSample>;
}

/**
 * Writes a batch to `failures/step-000123/` in a run's directory and returns that path: `step.json` with the step and its
 * metrics, `samples.jsonl` with a line for each sample. Numbers that JSON does not have become strings: `"NaN"`,
 * `"Infinity"`, `"-Infinity"`.
 *
 * Errors    `disk_full`, `run_directory_unwritable`.
 */
export async function saveOffendingBatch(
  directory: string,
  step: number,
  { metrics, samples }: OffendingBatch,
): Promise<string> {
  const path = join(resolve(directory), "failures", stepName(step));
  function* lines(): Generator<string> {
    for (const sample of samples) yield `${textOf(sample)}\n`;
  }
  try {
    await writeFolder(path, true, async (draft) => {
      await writeFile(join(draft, "samples.jsonl"), lines());
      await writeFile(join(draft, "step.json"), [`${textOf({ step, metrics })}\n`]);
    });
  } catch (error) {
    throw runError(error, path);
  }
  return path;
}

function textOf(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (ArrayBuffer.isView(part)) return Array.from(part as Float32Array);
    return typeof part === "number" && !Number.isFinite(part) ? String(part) : part;
  });
}
