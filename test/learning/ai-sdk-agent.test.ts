import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: four of five held-out questions, and 25 points more than after the warm start. */
describe.each([1, 2, 3])("an agent of the AI SDK, seed %i", (seed) => {
  const folder = useFolder(`ai-sdk-agent-${seed}`);

  it("learns to ask for the boss first", async () => {
    const config = "ai-sdk-agent/ai-sdk-agent.yaml";
    const { change } = await trainExample(config, folder, `seed=${seed}`);
    const { before, after } = change("eval/pass_at_1");
    expect(after).toBeGreaterThanOrEqual(0.8);
    expect(after - before).toBeGreaterThanOrEqual(0.25);
  });
});
