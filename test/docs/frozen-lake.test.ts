import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

describe("examples/frozen-lake", () => {
  const folder = useFolder("frozen-lake");

  it("plays, learns from what it played, and is evaluated", async () => {
    const { of } = await trainExample(
      "frozen-lake/frozen-lake.yaml",
      folder,
      ...["train.steps=2", "optimizer.warmupSteps=1", "train.warmStart.steps=10"],
      ...["eval.tasks=8", "eval.every=2"],
      ...["rollout.groupsPerStep=2", "rollout.slots=2", "rollout.batch=16"],
    );
    expect(of("eval/pass_at_1")).toHaveLength(2);
    expect(of("mismatch/max_abs")).toHaveLength(2);
    expect(Math.max(...of("mismatch/max_abs"))).toBeLessThanOrEqual(1e-4);
    expect(of("rollout/error_rate")).toEqual([0, 0]);
  });
});
