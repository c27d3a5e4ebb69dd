/** Examples of agents, run for so long that something can be said of them; test/learning holds them to what their pages say. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ABSENT, ASSETS } from "../../support/assets.ts";
import { type ExampleRun, trainExample } from "../../support/example-run.ts";
import { useFolder } from "../../support/training-run.ts";

const SHORT = [
  "eval.every=0",
  "train.steps=2",
  "optimizer.warmupSteps=0",
  "rollout.groupsPerStep=2",
];
const SLOTS = ["rollout.slots=2", "rollout.batch=16"];

describe("examples/files-agent", () => {
  const folder = useFolder("files-agent");

  it("calls tools after some demonstrations, and sampler and trainer agree", async () => {
    const { of } = await trainExample(
      "files-agent/files-agent.yaml",
      folder,
      ...[...SHORT, ...SLOTS, "train.warmStart.steps=60", "train.warmStart.batch=4"],
    );
    expect(of("reward/right")).toHaveLength(2);
    expect(Math.min(...of("tools/calls_mean"))).toBeGreaterThan(0.5);
    expect(Math.max(...of("rollout/error_rate"))).toBe(0);
    expect(Math.max(...of("mismatch/max_abs"))).toBeLessThanOrEqual(1e-4);
  });
});

describe("examples/ai-sdk-agent", () => {
  const folder = useFolder("ai-sdk-agent");

  it("calls tools in generateText, and is the same run again", async () => {
    const settings = [...SHORT, ...SLOTS, "train.warmStart.steps=30", "train.warmStart.batch=8"];
    const runs: ExampleRun[] = [];
    for (let i = 0; i < 2; i++)
      runs.push(await trainExample("ai-sdk-agent/ai-sdk-agent.yaml", folder, ...settings));
    const [first, second] = runs.map(({ of }) => [
      of("tools/calls_mean"),
      of("losses/loss"),
      of("losses/grad_norm"),
    ]);
    // after so few demonstrations now and then
    expect(Math.max(...(first?.[0] ?? []))).toBeGreaterThan(0.05);
    expect(second).toEqual(first);
  });
});

const MODEL = join(ASSETS, "models/stories260K-hf");
const isThere = existsSync(MODEL);

describe.skipIf(!isThere)(`examples/story-agent ${isThere ? "" : ABSENT}`, () => {
  const folder = useFolder("story-agent");

  it("tells stories that are worth more after 8 steps", async () => {
    const { of } = await trainExample(
      "story-agent/story-agent.yaml",
      folder,
      ...[
        `model.directory=${MODEL}`,
        "eval.every=0",
        "train.steps=8",
        "optimizer.schedule=constant",
      ],
    );
    const rewards = of("reward/mean");
    expect(rewards).toHaveLength(8);
    // the mean of 64 stories has a standard error below 0.05
    expect(rewards[0]).toBeLessThan(0.3);
    expect(Number(rewards[6]) + Number(rewards[7])).toBeGreaterThan(0.8);
    expect(Math.max(...of("mismatch/max_abs"))).toBeLessThanOrEqual(1e-4);
  });
});
