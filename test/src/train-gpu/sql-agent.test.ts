import { describe, expect, it } from "vitest";
import { trainExample } from "../../support/example-run.ts";
import { useFolder } from "../../support/training-run.ts";

describe("examples/sql-agent", () => {
  const folder = useFolder("sql-agent");

  it("asks the database from its first steps on, by what sampler and trainer agree on", async () => {
    const { of } = await trainExample(
      "sql-agent/sql-agent.yaml",
      folder,
      ...["train.steps=2", "eval.every=0", "optimizer.warmupSteps=0", "train.warmStart.steps=60"],
      ...["rollout.groupsPerStep=4", "rollout.slots=4", "rollout.batch=32"],
    );
    const calls = of("tools/calls_mean");
    expect(calls).toHaveLength(2);
    for (const count of calls) expect(count).toBeGreaterThan(0.5);
    // weights from nothing call nothing
    for (const share of of("tools/malformed_rate")) expect(share).toBeLessThan(0.2);
    expect(Math.max(...of("mismatch/max_abs"))).toBeLessThanOrEqual(1e-4);
  });
});
