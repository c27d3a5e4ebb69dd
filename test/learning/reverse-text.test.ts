import { describe, expect, it } from "vitest";
import { reverseText } from "../support/reverse-text.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: from at most 0.6 to at least 0.8, as prime-rl's reverse-text goes from 0.05 to 0.8 with a pretrained model. */
describe.each([1, 2, 3])("reverse text from random weights, seed %i", (seed) => {
  const folder = useFolder(`reverse-text-${seed}`);

  it("reaches a reward of 0.8 on held-out words, sampled", async () => {
    const { before, after, mismatches } = await reverseText(folder, `seed=${seed}`);
    expect(before).toBeGreaterThan(0.2);
    expect(before).toBeLessThan(0.6);
    expect(after).toBeGreaterThanOrEqual(0.8);
    expect(mismatches).toHaveLength(250);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});
