import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: 25 points more of the held-out questions than after the warm start. */
describe("an agent of the AI SDK", () => {
  const folder = useFolder("ai-sdk-agent");

  it("learns to ask for the boss first", async () => {
    const { change } = await trainExample("ai-sdk-agent/ai-sdk-agent.yaml", folder);
    const { before, after } = change("eval/pass_at_1");
    expect(after - before).toBeGreaterThanOrEqual(0.25);
  });
});
