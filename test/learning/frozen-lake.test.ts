import { describe, expect, it } from "vitest";
import { trainExample } from "../support/example-run.ts";
import { useFolder } from "../support/training-run.ts";

/** The bar: seven of ten lakes that were never seen, and 15 points more than after the warm start. */
describe.each([1, 2, 3])("frozen lake from random weights, seed %i", (seed) => {
  const folder = useFolder(`frozen-lake-${seed}`);

  it("comes home over lakes that are held out", async () => {
    const { change } = await trainExample("frozen-lake/frozen-lake.yaml", folder, `seed=${seed}`);
    const { before, after } = change("eval/pass_at_1");
    expect(after).toBeGreaterThanOrEqual(0.7);
    expect(after - before).toBeGreaterThanOrEqual(0.15);
  });
});
