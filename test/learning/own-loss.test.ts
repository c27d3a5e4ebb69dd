import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: 0.75 of the letters of held-out words in their places, from at most 0.6. */
describe.each([1, 2, 3])("a loss of one's own, seed %i", (seed) => {
  const folder = useFolder(`own-loss-${seed}`);

  it("teaches to reverse words", async () => {
    const { change } = await trainExample("own-loss/own-loss.config.ts", folder, `seed=${seed}`);
    const { before, after } = change("eval/reward_mean");
    expect(before).toBeLessThan(0.6);
    expect(after).toBeGreaterThanOrEqual(0.75);
  });
});
