/** What a step is about, as it goes from the node that leads to the others. */
import { deserialize, serialize } from "node:v8";
import type { BlobRef } from "../../../cluster/index.ts";
import { ForgeError } from "../../../engine/index.ts";
import type { CollectedStep, TrainerSnapshot } from "../trainer.ts";

/** Episodes to learn from, and what whoever leads after that step goes on from. */
export interface StepWork {
  readonly format: 1;
  /** Steps before it. */
  readonly step: number;
  readonly collected: CollectedStep;
  /** What the algorithm remembers of earlier steps; `null` for nothing. */
  readonly memory: unknown;
  /** With the groups of the step taken, and its weights not yet live. */
  readonly trainer: TrainerSnapshot;
}

/** As bytes. Typed arrays and `undefined` stay what they are: every node learns from the same bits. */
export function encodeWork(work: StepWork): Uint8Array {
  return Uint8Array.from(serialize(work));
}

/** What trainers, who have the token of the run, have encoded. Errors: `config_invalid` for anything else. */
export function decodeWork(bytes: Uint8Array): StepWork {
  try {
    const work = deserialize(bytes) as StepWork;
    const isWork = work.format === 1 && Number.isSafeInteger(work.step);
    if (isWork && Array.isArray(work.collected.episodes) && work.trainer.format === 1) return work;
  } catch {
    // falls through to the error
  }
  throw new ForgeError({
    code: "config_invalid",
    what: "cluster: the work of a step cannot be read.",
    got: `${bytes.length} bytes`,
    fix: "start all nodes with the same versions of forge-gpu and Node",
  });
}

/** Where the work of a step lies, as orders have it. */
export function workText({ hash, size }: BlobRef): string {
  return `${hash} ${size}`;
}

/** Errors: `config_invalid`. */
export function readWorkText(text: string): BlobRef {
  const [, hash, size] = /^([0-9a-f]{64}) ([0-9]{1,15})$/.exec(text) ?? [];
  if (hash !== undefined) return { hash, size: Number(size) };
  throw new ForgeError({
    code: "config_invalid",
    what: "cluster: an order does not say what a step is about.",
    got: JSON.stringify(text.slice(0, 80)),
    fix: "start all nodes with the same version of forge-gpu",
  });
}
