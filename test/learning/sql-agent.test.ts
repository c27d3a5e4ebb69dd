import { describe, expect, it } from "vitest";
import { exampleRun } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: 25 points more questions answered than after the warm start, of combinations that are in no training question. */
describe.each([1, 2, 3])("the shop's agent, seed %i", (seed) => {
  const folder = useFolder(`sql-agent-${seed}`);

  it("answers questions that are combined as none it has seen", async () => {
    const config = "sql-agent/sql-agent.yaml";
    const { before, after, mismatches } = await exampleRun(config, folder, `seed=${seed}`);
    expect(before).toBeGreaterThan(0.15);
    expect(before).toBeLessThan(0.7);
    expect(after - before).toBeGreaterThanOrEqual(0.25);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});
