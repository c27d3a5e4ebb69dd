import { describe, expect, it } from "vitest";
import { exampleRun } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: from a walk that seldom comes home to seven of ten lakes that were never seen. */
describe.each([1, 2, 3])("frozen lake from random weights, seed %i", (seed) => {
  const folder = useFolder(`frozen-lake-${seed}`);

  it("comes home over lakes that are held out", async () => {
    const { before, after, mismatches } = await exampleRun(
      "frozen-lake/frozen-lake.yaml",
      folder,
      `seed=${seed}`,
    );
    expect(before).toBeLessThan(0.55);
    expect(after).toBeGreaterThanOrEqual(0.7);
    expect(Math.max(...mismatches)).toBeLessThanOrEqual(1e-4);
  });
});
