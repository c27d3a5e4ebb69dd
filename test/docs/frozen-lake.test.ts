import { describe, expect, it } from "vitest";
import { exampleRun } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

describe("examples/frozen-lake", () => {
  const folder = useFolder("frozen-lake");

  it("plays, learns from what it played, and is evaluated", async () => {
    const { before, after, mismatches, lines } = await exampleRun(
      "frozen-lake/frozen-lake.yaml",
      folder,
      ...["train.steps=2", "optimizer.warmupSteps=1", "train.warmStart.steps=10"],
      ...["eval.tasks=8", "eval.every=2"],
      ...["rollout.groupsPerStep=2", "rollout.slots=2", "rollout.batch=16"],
    );
    for (const success of [before, after]) expect(success).toBeLessThan(0.5);
    expect(mismatches).toHaveLength(2);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
    for (const line of lines.slice(1, 3)) expect(line["rollout/error_rate"]).toBe(0);
  });
});
