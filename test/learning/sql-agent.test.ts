import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: 25 points more questions answered than after the warm start, of combinations that are in no training question. */
describe.each([1, 2, 3])("the shop's agent, seed %i", (seed) => {
  const folder = useFolder(`sql-agent-${seed}`);

  it("answers questions that are combined as none it has seen", async () => {
    const { change } = await trainExample("sql-agent/sql-agent.yaml", folder, `seed=${seed}`);
    const { before, after } = change("eval/pass_at_1");
    expect(before).toBeGreaterThan(0.1);
    expect(after - before).toBeGreaterThanOrEqual(0.25);
  });
});
