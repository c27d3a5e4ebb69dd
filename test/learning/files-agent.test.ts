import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: four of five held-out folders put right, and 25 more of a hundred than after the warm start. */
describe.each([1, 2, 3])("the clerk of a real file server, seed %i", (seed) => {
  const folder = useFolder(`files-agent-${seed}`);

  it("learns to read on before it files", async () => {
    const { change } = await trainExample("files-agent/files-agent.yaml", folder, `seed=${seed}`);
    const { before, after } = change("eval/pass_at_1");
    expect(after).toBeGreaterThanOrEqual(0.8);
    expect(after - before).toBeGreaterThanOrEqual(0.25);
  });
});
