/** Runs that are killed again and again, and resumed, until they are done. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { TrainConfigInput } from "../../src/train/config/types.ts";
import { bitsOf, type RunBits, runsOf, startTrain, trainBy, writeConfig } from "./training-run.ts";

/** Settings between them use all that a run goes on from. */
export const SETTINGS: Readonly<Record<string, TrainConfigInput>> = {
  "on policy, forge against earlier returns": {
    algorithm: { name: "forge", baseline: "running" },
  },
  "ahead of the policy, groups under way at each checkpoint": {
    rollout: { slots: 6, window: 0.3 },
    checkpoint: { every: 1, keep: 2, best: "eval/reward_mean" },
  },
  "ppo with a critic, minibatches and a divergence, behind a warm start": {
    algorithm: {
      ...{ name: "ppo", epochs: 2, minibatches: 2 },
      kl: { in: "loss", kind: "k3", coefficient: 0.05 },
    },
    train: { warmStart: { steps: 3, batch: 4, lr: 0.01 } },
  },
  "adapters, ahead of the policy, behind a warm start": {
    model: { lora: { rank: 2, alpha: 4 } },
    algorithm: { name: "forge", baseline: "running" },
    rollout: { slots: 6, window: 0.3, stepsPerReadback: 4 },
    train: { warmStart: { steps: 2, batch: 4, lr: 0.01 } },
  },
};

/** What came of a run that was never disturbed. */
export async function undisturbed(folder: string, config: TrainConfigInput): Promise<RunBits> {
  const file = writeConfig(folder, { ...config, name: "whole" });
  const { code, stderr } = await trainBy(file);
  expect(stderr).not.toContain("not deterministic");
  expect(code, stderr).toBe(0);
  return bitsOf(runsOf(folder, "whole")[0] as string);
}

/**
 * Kills a run `kills` times by SIGKILL, after times that `moment` draws in milliseconds, resumes it each time, and lets it
 * end. A run that is done before is followed by another, which must come to the same.
 */
export async function killedRuns(
  folder: string,
  config: TrainConfigInput,
  { kills, moment, whole }: { kills: number; moment: () => number; whole: RunBits },
): Promise<void> {
  const file = writeConfig(folder, { ...config, name: "killed" });
  const place = join(folder, "runs", "killed");
  let isBegun = false;
  for (let kill = 0; kill <= kills; ) {
    const { child, done } = startTrain(file, ...(isBegun ? ["--resume"] : []));
    const isLast = kill === kills;
    if (!isLast) void sleep(moment()).then(() => child.kill("SIGKILL"));
    const { code, stderr } = await done;
    isBegun = existsSync(place) && runsOf(folder, "killed").length > 0;
    if (code === null) {
      kill++;
      continue;
    }
    expect(code, stderr).toBe(0);
    expect(bitsOf(runsOf(folder, "killed").at(-1) as string)).toEqual(whole);
    isBegun = false;
    if (isLast) break;
  }
}
