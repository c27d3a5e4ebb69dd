/** Examples, run for so long that something can be said of them; test/learning holds them to what their pages say. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ABSENT, ASSETS } from "../../support/assets.ts";
import { trainExample } from "../../support/example-run.ts";
import { useFolder } from "../../support/training-run.ts";

/** Two steps that are too few to evaluate. */
const SHORT = ["eval.every=0", "train.steps=2", "optimizer.warmupSteps=0"];
const TWO_GROUPS = ["rollout.groupsPerStep=2", "rollout.slots=2", "rollout.batch=16"];
const FOUR_GROUPS = ["rollout.groupsPerStep=4", "rollout.slots=4", "rollout.batch=32"];

const MODEL = join(ASSETS, "models/stories260K-hf");
const isThere = existsSync(MODEL);

describe("an example", () => {
  const folder = useFolder("examples");

  it("calculator-agent learns in 8 steps to call its tool again", async () => {
    const { of, change } = await trainExample(
      "calculator-agent/calculator-agent.yaml",
      folder,
      ...["seed=1", "train.warmStart.steps=400", "train.steps=8", "eval.every=8"],
      "optimizer.schedule=constant",
    );
    // 256 sampled problems: the standard error of either share is about 0.03
    const { before, after } = change("eval/pass_at_1");
    expect(before).toBeLessThan(0.65);
    expect(after - before).toBeGreaterThan(0.1);
    expect(of("mismatch/max_abs")).toHaveLength(8);
  });

  it("reverse-text learns in 30 steps", async () => {
    const { of, change } = await trainExample(
      "reverse-text/reverse-text.yaml",
      folder,
      ...["seed=1", "train.steps=30", "eval.every=30", "optimizer.schedule=constant"],
    );
    // 384 sampled words: the standard error of either mean is below 0.015
    const { before, after } = change("eval/reward_mean");
    expect(before).toBeLessThan(0.6);
    expect(after - before).toBeGreaterThan(0.05);
    expect(of("mismatch/max_abs")).toHaveLength(30);
  });

  it("sql-agent asks the database from its first steps on", async () => {
    const { of } = await trainExample(
      "sql-agent/sql-agent.yaml",
      folder,
      ...[...SHORT, ...FOUR_GROUPS, "train.warmStart.steps=60"],
    );
    const calls = of("tools/calls_mean");
    expect(calls).toHaveLength(2);
    for (const count of calls) expect(count).toBeGreaterThan(0.5);
    // weights from nothing call nothing
    for (const share of of("tools/malformed_rate")) expect(share).toBeLessThan(0.2);
  });

  it("files-agent calls the tools of its server after some demonstrations", async () => {
    const { of } = await trainExample(
      "files-agent/files-agent.yaml",
      folder,
      ...[...SHORT, ...TWO_GROUPS, "train.warmStart.steps=60", "train.warmStart.batch=4"],
    );
    expect(of("reward/right")).toHaveLength(2);
    expect(Math.min(...of("tools/calls_mean"))).toBeGreaterThan(0.5);
    expect(of("rollout/error_rate")).toEqual([0, 0]);
  });

  it("frozen-lake plays, learns from what it played, and is evaluated", async () => {
    const { of } = await trainExample(
      "frozen-lake/frozen-lake.yaml",
      folder,
      ...[...SHORT, ...TWO_GROUPS, "train.warmStart.steps=10", "eval.tasks=8", "eval.every=2"],
    );
    expect(of("eval/pass_at_1")).toHaveLength(2);
    expect(of("mismatch/max_abs")).toHaveLength(2);
    expect(of("rollout/error_rate")).toEqual([0, 0]);
  });

  it("ai-sdk-agent calls tools in generateText, and is the same run again", async () => {
    const run = async (): Promise<readonly (readonly number[])[]> => {
      const { of } = await trainExample(
        "ai-sdk-agent/ai-sdk-agent.yaml",
        folder,
        ...[...SHORT, ...TWO_GROUPS, "train.warmStart.steps=30", "train.warmStart.batch=8"],
      );
      return ["tools/calls_mean", "losses/loss", "losses/grad_norm"].map(of);
    };
    const [first, second] = [await run(), await run()];
    // after so few demonstrations now and then
    expect(Math.max(...(first[0] ?? []))).toBeGreaterThan(0.05);
    expect(second).toEqual(first);
  });

  it("own-loss trains with an advantage and a loss of its own, four updates a step", async () => {
    const { of } = await trainExample(
      "own-loss/own-loss.config.ts",
      folder,
      ...[...SHORT, ...FOUR_GROUPS, "train.warmStart.steps=10", "optimizer.warmupSteps=1"],
    );
    // the first of four updates is on-policy; those behind it are not, and there the taper cuts
    const clipped = of("losses/clip_fraction");
    expect(clipped).toHaveLength(2);
    expect(Math.min(...clipped)).toBeGreaterThan(0);
    expect(Math.max(...clipped)).toBeLessThan(0.75);
  });

  it.skipIf(!isThere)(
    `story-agent is worth more after 8 steps ${isThere ? "" : ABSENT}`,
    async () => {
      const { of } = await trainExample(
        "story-agent/story-agent.yaml",
        folder,
        ...[`model.directory=${MODEL}`, "eval.every=0", "train.steps=8"],
        "optimizer.schedule=constant",
      );
      const rewards = of("reward/mean");
      expect(rewards).toHaveLength(8);
      // the mean of 64 stories has a standard error below 0.05
      expect(rewards[0]).toBeLessThan(0.3);
      expect(Number(rewards[6]) + Number(rewards[7])).toBeGreaterThan(0.8);
    },
  );
});
