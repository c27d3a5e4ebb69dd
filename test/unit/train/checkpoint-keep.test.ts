import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pruneCheckpoints, readBest, recordBest } from "../../../src/train/checkpoint/keep.ts";
import { latestCheckpoint } from "../../../src/train/checkpoint/read.ts";
import { writeCheckpoint } from "../../../src/train/checkpoint/write.ts";
import { contentsOf } from "../../support/checkpoint-contents.ts";
import { temporaryFolder } from "../../support/checkpoints.ts";
import { codeOf, rejectionOf } from "../../support/errors.ts";

const folder = temporaryFolder("keep");

/** A directory with checkpoints of these steps. */
async function made(name: string, steps: readonly number[]): Promise<string> {
  const directory = join(folder, name);
  for (const step of steps) await writeCheckpoint(directory, step, contentsOf(step));
  return directory;
}

function steps(directory: string): number[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith("step-"))
    .map((name) => Number(name.slice(5)))
    .sort((a, b) => a - b);
}

function spoil(directory: string, step: number): void {
  truncateSync(join(directory, `step-00000${step}`, "policy.safetensors"), 5);
}

describe("the keep policy", () => {
  it("keeps the newest, and the best", async () => {
    const directory = await made("newest", [1, 2, 3, 4, 5]);
    expect(await pruneCheckpoints(directory, { keep: 4 })).toEqual([1]);
    recordBest(directory, { step: 2, score: 0.9 });
    expect(await readBest(directory)).toEqual({ step: 2, score: 0.9 });
    expect(await pruneCheckpoints(directory, { keep: 2 })).toEqual([3]);
    expect(await pruneCheckpoints(directory, { keep: 2 })).toEqual([]);
    expect(await pruneCheckpoints(directory, { keep: Number.POSITIVE_INFINITY })).toEqual([]);
    expect(await pruneCheckpoints(directory, { keep: 1, best: 4 })).toEqual([2]);
    recordBest(directory, { step: 1, score: -1 }); // which is gone
    expect(await pruneCheckpoints(directory, { keep: 1 })).toEqual([4]);
    expect(readdirSync(directory)).toEqual(["best.json", "step-000005"]);
  });

  it("removes nothing unless a valid one stays", async () => {
    const directory = await made("valid", [1, 2, 3]);
    for (const step of [2, 3]) spoil(directory, step);
    expect(await pruneCheckpoints(directory, { keep: 2 })).toEqual([]);
    expect(steps(directory)).toEqual([1, 2, 3]);
    await using latest = await latestCheckpoint(directory, { onInvalid: () => {} });
    expect(latest?.step).toBe(1);
    // the best stays, and is valid
    expect(await pruneCheckpoints(directory, { keep: 1, best: 1 })).toEqual([2]);
    await writeCheckpoint(directory, 4, contentsOf(4));
    expect(await pruneCheckpoints(directory, { keep: 2 })).toEqual([1]);
    expect(steps(directory)).toEqual([3, 4]);
  });

  it("refuses to keep none, and scores that are none", async () => {
    const directory = await made("wrong", [1]);
    for (const keep of [0, -1, Number.NaN])
      expect(await rejectionOf(pruneCheckpoints(directory, { keep }))).toBe("argument_invalid");
    for (const score of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(codeOf(() => recordBest(directory, { step: 1, score }))).toBe("argument_invalid");
    expect(codeOf(() => recordBest(directory, { step: -1, score: 1 }))).toBe("argument_invalid");
    expect(await readBest(directory)).toBeUndefined();
  });

  it("removes nothing while it cannot tell which is the best", async () => {
    const directory = await made("unknown", [1, 2, 3]);
    for (const text of ["", "{", "[]", '{"step":"1","score":1}', '{"step":1}']) {
      writeFileSync(join(directory, "best.json"), text);
      expect(await rejectionOf(pruneCheckpoints(directory, { keep: 1 }))).toBe("file_invalid");
    }
    expect(steps(directory)).toEqual([1, 2, 3]);
  });
});
