import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: from at most 0.6 to at least 0.8, as prime-rl's reverse-text goes from 0.05 to 0.8 with a pretrained model. */
describe.each([1, 2, 3])("reverse text from random weights, seed %i", (seed) => {
  const folder = useFolder(`reverse-text-${seed}`);

  it("reaches a reward of 0.8 on held-out words, sampled", async () => {
    const { change } = await trainExample("reverse-text/reverse-text.yaml", folder, `seed=${seed}`);
    const { before, after } = change("eval/reward_mean");
    expect(before).toBeGreaterThan(0.2);
    expect(before).toBeLessThan(0.6);
    expect(after).toBeGreaterThanOrEqual(0.8);
  });
});
