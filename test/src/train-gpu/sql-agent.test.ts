import { describe, expect, it } from "vitest";
import { exampleRun } from "../../support/example-run.ts";
import { useFolder } from "../../support/training-run.ts";

describe("examples/sql-agent", () => {
  const folder = useFolder("sql-agent");

  it("asks the database from its first steps on, by what sampler and trainer agree on", async () => {
    const { mismatches, lines } = await exampleRun(
      "sql-agent/sql-agent.yaml",
      folder,
      ...["train.steps=2", "eval.every=0", "optimizer.warmupSteps=0", "train.warmStart.steps=60"],
    );
    const calls = lines.flatMap((line) => (line["tools/calls_mean"] as number) ?? []);
    const malformed = lines.flatMap((line) => (line["tools/malformed_rate"] as number) ?? []);
    expect(calls).toHaveLength(2);
    for (const count of calls) expect(count).toBeGreaterThan(0.5);
    for (const share of malformed) expect(share).toBeLessThan(0.2);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});
